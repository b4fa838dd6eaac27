"""Layers: forward and hand-derived backward side by side, one kind a file."""

from axonic.layers.activations import ACTIVATIONS, Activation
from axonic.layers.base import Chain, Layer, Trace, chain, sequence
from axonic.layers.bidirectional import Bidirectional, BidirectionalParams, bidirectional
from axonic.layers.dense import Dense, DenseParams, dense
from axonic.layers.dropout import Dropout, dropout
from axonic.layers.gru import GRU, GRUParams, gru
from axonic.layers.heads import (
    BothEnds,
    EachStep,
    EveryStep,
    LastStep,
    MeanOverTime,
    both_ends,
    each_step,
    every_step,
    last_step,
    mean_over_time,
)
from axonic.layers.initializers import INITS
from axonic.layers.lstm import LSTM, LSTMParams, lstm
from axonic.layers.rbf import RADIALS, RBF, WIDTHS, RBFParams, rbf
from axonic.layers.rnn import RNN, RNNParams, rnn

__all__ = [
    "ACTIVATIONS",
    "GRU",
    "INITS",
    "LSTM",
    "RADIALS",
    "RBF",
    "RNN",
    "WIDTHS",
    "Activation",
    "Bidirectional",
    "BidirectionalParams",
    "BothEnds",
    "Chain",
    "Dense",
    "DenseParams",
    "Dropout",
    "EachStep",
    "EveryStep",
    "GRUParams",
    "LSTMParams",
    "LastStep",
    "Layer",
    "MeanOverTime",
    "RBFParams",
    "RNNParams",
    "Trace",
    "bidirectional",
    "both_ends",
    "chain",
    "dense",
    "dropout",
    "each_step",
    "every_step",
    "gru",
    "last_step",
    "lstm",
    "mean_over_time",
    "rbf",
    "rnn",
    "sequence",
]
