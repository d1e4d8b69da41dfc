"""Solutions of the exercises of 4_joint_training.ipynb. `make solutions` writes the whole notebook with them, executed, beside this file."""


def joint_step(weights, be_gradient, ce_gradient, learning_rate):
    """The shared weights (n,) after one step of plain gradient descent on L_BE + L_CE."""
    return weights - learning_rate * (be_gradient + ce_gradient)


def change_of_other(own_gradient, other_gradient, learning_rate):
    """How much the other loss changes, to first order, when the weights take a step down their own loss."""
    step = -learning_rate * own_gradient
    return step @ other_gradient


def parameters_to_store(transformer, head):
    """Parameters of SEP+COOP and of JOINT+COOP, in this order, from those of a Transformer and of a match head."""
    bi_encoder = transformer
    cross_encoder = transformer + head
    return bi_encoder + cross_encoder, transformer + head
