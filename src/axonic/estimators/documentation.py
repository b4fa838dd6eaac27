"""The documentation of the parameters that estimators share."""

PARAMETERS = """
    Parameters
    ----------
    {network}optimizer : the learning rule: a name (`axonic.optimizers.names()`), a rule such as
        `axonic.optimizers.Momentum(momentum=0.95)`, an optax transformation, or "auto" to train with several and take
        the one with the lowest mean validation loss: up to 10,000 training rows momentum, rprop, conjugate_gradient,
        scaled_conjugate_gradient and lbfgs, beyond momentum, adam and rmsprop. Default "momentum".
    learning_rate : a positive number, or "auto" to find it by a sweep. Default "auto".
    batch_size : rows of a batch; rules such as "gd" take all rows at every step. Default 32.
    epochs : passes over the data, at most; "auto" trains until the loss has been flat for a fifth of them. Default
        "auto".
    recipe : "full" runs every stage of `axonic.recipe`: batch sizes around `batch_size` are looked at with their rates,
        and at the end of the long run the networks branch off with a tenth of the rate. None takes `batch_size` as it
        is and does not branch. Default None.
    loss : {losses}
    l2, l1 : penalties l2/2 sum w^2 and l1 sum |w| on weights, never on biases, added to the mean loss. Default 0.
    dropout : share of the hidden units dropped while training, from 0 to below 1. Default 0.
    {regularizers}regularization : "auto" scales an L2 penalty by the number of training rows, l2 = c / n, if `l2`,
        `l1` and `dropout` are 0; where several networks are trained and the table is small, c is the better of 1 and
        1/4 by mean validation loss (for numbers 1/16 is tried too where 1/4 is clearly better), otherwise 1. None takes
        `l2`, `l1` and `dropout` as they are. Default "auto".
    ensemble : number of networks, trained from different weights and with different validation rows, whose outputs are
        averaged. "auto" is five, but one if `epochs` is given by hand, nothing is held out, or the table and network
        are large (weights times rows, or times the steps of sequences, above 1e9); three of long sequences (above
        2.5e8). Default "auto".
    standardize : whether inputs are brought to mean 0 and deviation 1. Default True.
    shuffle : whether rows are shuffled for every epoch; see the module. Default True.
    early_stopping : whether validation rows are held out (if there are 10 rows or more), training ends when their
        loss is flat, and the weights of the best epoch are kept. Otherwise all rows train and the last weights are
        kept; `epochs="auto"` then watches the training loss. Default True.
    validation_fraction : share of the rows held out, between 0 and 1. Default 0.15.
    monitor : whether training is watched from inside, so that `findings_` can say what went wrong: layers are looked at
        now and then; see `axonic.diagnosis`. Default True.
    {specific}warm_start : whether `fit` goes on from the weights and encoders of the `fit` before. Default False.
    random_state : a whole number, a `numpy.random.RandomState` or None. Default 0.
    verbose : 1 prints progress. Default 0.

    Attributes
    ----------
    {attributes}n_features_in_, feature_names_in_ : as in scikit-learn.
    learning_rate_ : the rate of the long runs; NaN for a rule that has none.
    l2_ : the L2 penalty.
    batch_size_ : rows of a batch.
    n_iter_ : epochs run by the first network.
    history_ : dict of arrays, one value an epoch of the first network: epoch, train_loss, valid_loss, test_loss (NaN
        here), learning_rate.
    health_ : dict of arrays, a row for each step of the first network that was looked at and a column for each layer:
        epoch, loss, z_rms, a_rms, delta_rms, weight_rms, gradient_rms, update_ratio, saturated, dead, sign_flips,
        gradient_noise, gradient_signal; see `axonic.health`.
    notebook_ : the stages of the fit with their evidence and decision.
    findings_ : what is worth telling, a list of `axonic.types.Finding`, the cause of what went wrong first; diagnosed
        when it is first asked for, on the rows of the last `fit` (a copy of the estimator from a file or a pickle knows
        what had been asked for).
    model_ : the trained `axonic.model.Model`.
"""


FEEDFORWARD = """\
hidden_layer_sizes : units of each hidden layer, a tuple of whole numbers; () is a linear model. Default (64, 64).
    activation : of the hidden layers: one name, or one for each ("identity", "sigmoid", "tanh", "relu", "leaky_relu",
        "elu", "selu", "gelu", "silu", "softplus", "softmax"). Default "relu".
    init : initial weights: "auto" is Glorot's up to two hidden layers and follows the activation beyond; "he_normal",
        "he_uniform", "glorot_normal", "glorot_uniform", "lecun_normal", "lecun_uniform", "zeros". Default "auto".
    """


REGULARIZERS = """\
input_noise : standard deviation of the noise that is added to every encoded input at each step. Default 0.
    mixup : a in Beta(a, a), from which the share is drawn in which rows are mixed with others; 0 mixes none. Default 0.
    max_norm : largest norm of the weights into a hidden unit, a positive number or None. Default None.
    weight_average : b of the mean of the weights of all steps, k steps ago with weight b^k, that is validated and kept;
        from 0 (the weights of the last step) to below 1. Default 0.
    """


def document(cls, text: str = PARAMETERS, network: str = FEEDFORWARD, regularizers: str = REGULARIZERS, **parts: str):
    """Append the documentation of the shared parameters, with what is this class's own."""
    cls.__doc__ = cls.__doc__.rstrip() + "\n" + text.format(network=network, regularizers=regularizers, **parts)
    return cls
