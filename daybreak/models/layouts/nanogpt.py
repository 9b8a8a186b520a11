"""nanoGPT's checkpoints, of which only the weights as safetensors are read: the class is GPT-2's.

A folder of two files. config.json holds nanoGPT's `model_args` as they are (n_layer, n_head, n_embd, block_size, bias,
vocab_size), and model.safetensors its `model`, by its names. Its matrices are [outputs, inputs] where GPT-2's class has
[inputs, outputs], and where it was trained without biases, these are zero.
"""

from daybreak.core.values import Json

ARGUMENTS = ("n_layer", "n_head", "n_embd", "block_size", "vocab_size")
TURNED = ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")
GELU = "gelu"  # the exact one, as nanoGPT has had it since 2023; before, and in GPT-2, "gelu_new"


def recognized(config: Json) -> bool:
    return "model_type" not in config and all(name in config for name in ARGUMENTS)


def config_of(arguments: Json) -> Json:
    """config.json of transformers' GPT2LMHeadModel.

    arguments: nanoGPT's, and an `activation_function` beside them where it is not the exact GELU.
    """
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": arguments["vocab_size"],
        "n_positions": arguments["block_size"],
        "n_embd": arguments["n_embd"],
        "n_layer": arguments["n_layer"],
        "n_head": arguments["n_head"],
        "n_inner": None,
        "activation_function": arguments.get("activation_function", GELU),
        "layer_norm_epsilon": 1e-5,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": None,
        "torch_dtype": "float32",
    }


def is_turned(name: str) -> bool:
    """Whether the class has this weight the other way round."""
    return name.endswith(TURNED)


def lacks(arguments: Json, name: str) -> bool:
    """Whether this weight is a bias of the class that the model was trained without."""
    return not arguments.get("bias", True) and name.endswith(".bias")
