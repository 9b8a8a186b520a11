"""LSTM and RNN: sizes, memory from token to token, first values, and the way to model/ and back."""

import json
from pathlib import Path

import pytest
import torch

from daybreak.core.errors import DataError, UsageError
from daybreak.core.shapes import LstmShape
from daybreak.data.batches import Batch
from daybreak.data.tokenizers import byte_tokenizer
from daybreak.data.tokenizers.base import END_OF_TEXT
from daybreak.models.checkpoints import write
from daybreak.models.checkpoints.read import read_model
from daybreak.models.families import decoder_of
from daybreak.models.gpt import tensors_of
from daybreak.models.inference.predictors import Network
from daybreak.models.inference.sampling import Sampling
from daybreak.models.lstm import Lstm
from daybreak.tasks.next_token import NextToken

pytestmark = pytest.mark.usefixtures("one_thread")
CELLS = LstmShape.CHOICES["cell"]


def shape(**changes: object) -> LstmShape:
    return LstmShape(**{"vocabulary": 320, "layers": 2, "width": 32, "context_length": 16, **changes})


def module(**changes: object) -> Lstm:
    made = Lstm(shape(**changes))
    made.initialize(0)
    return made


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("tied", [True, False])
def test_the_shape_knows_how_many_weights_there_are(cell: str, tied: bool) -> None:
    made = module(cell=cell, tied=tied)
    assert made.shape.parameters() == sum(weight.numel() for weight in made.parameters())
    hidden = sum(weight.numel() for weight in made.matrices())
    assert made.shape.matmul_parameters() == hidden + 320 * 32
    once = {id(weight) for weight in (*made.matrices(), *made.embeddings_and_norms())}
    assert once == {id(weight) for weight in made.parameters()}


@pytest.mark.parametrize("cell", CELLS)
def test_token_by_token_is_the_same_as_all_at_once(cell: str) -> None:
    made = module(cell=cell).eval()
    tokens = torch.randint(320, (1, 12), generator=torch.Generator().manual_seed(1))
    with torch.no_grad(), decoder_of(made).state() as state:
        logits = state.begin(tokens[0, :4].tolist())
        for token in tokens[0, 4:].tolist():
            logits = state.step(token)
        torch.testing.assert_close(logits, made(tokens)[0, -1])
        again = state.begin(tokens[0, :4].tolist())
        torch.testing.assert_close(again, made(tokens[:, :4])[0, -1])


def test_a_row_does_not_see_the_one_before() -> None:
    made = module().eval()
    rows = torch.randint(320, (2, 8), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(made(rows)[1:], made(rows[1:]))


def test_forget_gates_begin_open() -> None:
    made = module()
    assert (made.cells.bias_ih_l0[32:64] == 1).all() and (made.cells.bias_ih_l0[:32].abs() < 0.2).all()


@pytest.mark.parametrize("cell", CELLS)
def test_what_is_written_comes_back(cell: str, tmp_path: Path) -> None:
    made = module(cell=cell).eval()
    tokenizer = byte_tokenizer()
    tokenizer.save(tmp_path / "tokenizer.json")
    write.save(
        tmp_path / "model",
        made.shape,
        tensors_of(made),
        tokenizer_file=tmp_path / "tokenizer.json",
        end_of_text=tokenizer.end_of_text,
        token=END_OF_TEXT,
    )
    back = read_model(tmp_path / "model", torch.device("cpu"))
    tokens = torch.randint(257, (2, 8), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(back(tokens), made(tokens))
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["model_type"] == "daybreak-lstm"
    (tmp_path / "model" / "config.json").write_text(json.dumps({**config, "model_type": "daybreak-gru"}))
    with pytest.raises(DataError, match="daybreak-gru"):
        read_model(tmp_path / "model", torch.device("cpu"))


def test_it_learns_a_text_by_heart_and_says_it() -> None:
    made = module(width=64).train()
    text = byte_tokenizer().encode("the cat sat on the mat; ")
    row = torch.tensor([[256, *text]])
    optimizer, loss = torch.optim.Adam(made.parameters(), lr=0.01), NextToken()
    for _ in range(300):
        optimizer.zero_grad()
        (loss(made, Batch(row)) / loss.targets(Batch(row))).backward()
        optimizer.step()
    network = Network(made, end_of_text=256, known_tokens=257)
    said = network.continuation(text[:4], Sampling(max_tokens=len(text) - 4, temperature=0.0))
    assert list(said) == text[4:]


def test_impossible_shapes_are_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'lstm'"):
        shape(cell="lstn").check()
    with pytest.raises(UsageError, match="layers=0"):
        shape(layers=0).check()
