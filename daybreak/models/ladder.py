"""The ladder: the fixed set of shapes a plan picks from, so that noise does not miss a compile cache."""

from collections.abc import Mapping

from daybreak.core.shapes import BertShape, GptShape, LstmShape, T5Shape
from daybreak.core.values import Json

# Layers and width. Few and wide at the small end, where products of narrow matrices waste a processor; about 64 of
# width a layer at the large end.
RUNGS = (
    (2, 128),
    (2, 192),
    (3, 192),
    (3, 256),
    (4, 256),
    (4, 320),
    (5, 384),
    (6, 384),
    (6, 512),
    (8, 512),
    (8, 640),
    (10, 640),
    (12, 768),
    (14, 896),
    (16, 1024),
    (20, 1280),
    (24, 1536),
    (28, 1792),
    (32, 2048),
)
CONTEXTS = (128, 256, 512, 1024, 2048)
LONGEST_T5 = 1024  # more would have more spans than there are sentinels
TIE_ABOVE = 0.5  # of the weights that multiply: a larger head is shared with the embedding


def padded(vocabulary: int) -> int:
    """Rows of the tables: a multiple of 64, which matrix products like."""
    return -(-vocabulary // 64) * 64


def mlp_width(width: int, activation: str) -> int:
    """Three matrices of 8/3 the width weigh what two of 4 do."""
    return 4 * width if activation == "squared_relu" else round(8 * width / 3 / 64) * 64


def gpt(
    layers: int, width: int, *, vocabulary: int, context_length: int, changes: Mapping[str, object] | None = None
) -> GptShape:
    """A shape of this class with the house's proportions, and with what the user set (`changes`) in their place."""
    taken: Json = dict(changes or {})
    width = int(taken.pop("width", width))
    head_dim = int(taken.pop("head_dim", 128 if width >= 1024 and width % 128 == 0 else 64))
    heads = int(taken.pop("heads", max(1, width // head_dim)))
    options = {name: taken.pop(name) for name in GptShape.OPTIONS if name in taken}
    activation = options.get("activation", "swiglu")
    shape = GptShape(
        vocabulary=padded(vocabulary),
        layers=int(taken.pop("layers", layers)),
        width=width,
        heads=heads,
        key_value_heads=int(taken.pop("key_value_heads", heads)),
        head_dim=head_dim,
        mlp_width=int(taken.pop("mlp_width", mlp_width(width, activation))),
        context_length=int(taken.pop("context_length", context_length)),
        tied=False,
        rope_base=float(taken.pop("rope_base", 10000.0 if context_length <= 512 else 100000.0)),
        **options,
    )
    head = shape.vocabulary * shape.width
    return shape.replace(tied=bool(taken.pop("tied", head > TIE_ABOVE * shape.matmul_parameters())))


def bert(
    layers: int, width: int, *, vocabulary: int, context_length: int, changes: Mapping[str, object] | None = None
) -> BertShape:
    """As `gpt`, for an encoder."""
    taken: Json = dict(changes or {})
    width = int(taken.get("width", width))
    ours = {
        "layers": layers,
        "width": width,
        "heads": max(1, width // 64),
        "mlp_width": mlp_width(width, "geglu"),
        "context_length": context_length,
        "rope_base": 10000.0 if context_length <= 512 else 160000.0,
        "window": 128 if context_length > 128 else 256,  # which is all of a short row, and needs no mask
    }
    return BertShape(vocabulary=padded(vocabulary), **{**ours, **taken})


def t5(
    layers: int, width: int, *, vocabulary: int, context_length: int, changes: Mapping[str, object] | None = None
) -> T5Shape:
    """As `gpt`, for an encoder and a decoder of half the layers each."""
    taken: Json = dict(changes or {})
    width = int(taken.get("width", width))
    half = int(taken.get("layers", max(1, round(layers / 2))))
    ours = {
        "layers": half,
        "decoder_layers": half,
        "width": width,
        "heads": max(1, width // 64),
        "head_dim": 64,
        "mlp_width": mlp_width(width, "geglu"),
        "context_length": min(context_length, LONGEST_T5),
    }
    return T5Shape(vocabulary=padded(vocabulary), **{**ours, **taken})


def lstm(
    layers: int, width: int, *, vocabulary: int, context_length: int, changes: Mapping[str, object] | None = None
) -> LstmShape:
    """Wide and shallow: what goes from position to position is computed one after the other, layer by layer."""
    taken: Json = dict(changes or {})
    ours = {"layers": 1 if layers < 4 else 2, "width": 2 * width, "context_length": context_length}
    return LstmShape(vocabulary=padded(vocabulary), **{**ours, **taken})
