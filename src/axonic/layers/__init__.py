"""Layers: forward and hand-derived backward side by side, one kind a file."""

from axonic.layers.activations import ACTIVATIONS, Activation
from axonic.layers.base import Chain, Layer, Trace, chain
from axonic.layers.dense import Dense, DenseParams, dense
from axonic.layers.dropout import Dropout, dropout
from axonic.layers.initializers import INITS

__all__ = [
    "ACTIVATIONS",
    "INITS",
    "Activation",
    "Chain",
    "Dense",
    "DenseParams",
    "Dropout",
    "Layer",
    "Trace",
    "chain",
    "dense",
    "dropout",
]
