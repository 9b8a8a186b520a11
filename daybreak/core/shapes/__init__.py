"""Shapes: all of a model that changes its parameters, with how many those are and what a token costs."""

from daybreak.core.shapes.base import NetworkShape, Shape, network_of
from daybreak.core.shapes.bert import BertShape
from daybreak.core.shapes.foreign import ForeignShape
from daybreak.core.shapes.gpt import GATE_INPUTS, GptShape
from daybreak.core.shapes.lstm import LstmShape
from daybreak.core.shapes.ngram import NgramShape
from daybreak.core.shapes.t5 import T5Shape

__all__ = [
    "GATE_INPUTS",
    "BertShape",
    "ForeignShape",
    "GptShape",
    "LstmShape",
    "NetworkShape",
    "NgramShape",
    "Shape",
    "T5Shape",
    "network_of",
]
