"""Logistic regression whose bits depend on its rows alone.

A candidate is named by a digest, so no sum here may depend on the number of cores or on the machine's BLAS: OpenBLAS
splits a product over its threads and sums in the order of the processor's kernel. Every sum is therefore NumPy's own
pairwise sum over a contiguous column, and the small linear systems are solved in Python. ``scipy.special.expit`` takes
each exponential from the C library; NumPy's own differs between instruction sets.
"""

import numpy as np
from scipy.special import expit

from lifecycle.tables.arrays import BoolArray, FloatArray

MAXIMUM_STEPS = 100
TOLERANCE = 1e-10
RIDGE = 1e-12
"""Added to the Hessian's diagonal, so that columns that say the same have a solution."""


def fit_logistic(columns: FloatArray, targets: FloatArray, start: FloatArray, penalty: FloatArray) -> FloatArray:
    """Coefficients of least penalised cross-entropy, by Newton's method with step halving.

    Parameters
    ----------
    columns
        The design transposed, shape ``(n_columns, n)``, C order; Newton's steps need standardised columns.
    targets
        Probabilities, shape ``(n,)``.
    start, penalty
        First coefficients, and the factor of each one's ``coefficient ** 2 / 2`` in the loss; shape ``(n_columns,)``. A
        coefficient of infinite penalty keeps its start.
    """
    is_free = np.isfinite(penalty)
    weight = np.where(is_free, penalty, 0.0)
    coefficients = start.astype(np.float64)
    loss = _loss(columns, targets, coefficients, weight)
    for _ in range(MAXIMUM_STEPS):
        step = _newton_step(columns, targets, coefficients, weight, is_free)
        size = 1.0
        while size > 1e-10:
            candidate = coefficients - size * step
            candidate_loss = _loss(columns, targets, candidate, weight)
            if candidate_loss <= loss:
                break
            size /= 2
        else:
            return coefficients
        is_settled = loss - candidate_loss <= TOLERANCE * max(abs(loss), 1.0)
        coefficients, loss = candidate, candidate_loss
        if is_settled:
            return coefficients
    return coefficients


def linear(columns: FloatArray, coefficients: FloatArray) -> FloatArray:
    """Sum of the columns times their coefficients, column by column; shape ``(n,)``."""
    total: FloatArray = np.zeros(columns.shape[1])
    for column, coefficient in zip(columns, coefficients.tolist(), strict=True):
        total += coefficient * column
    return total


def solve(matrix: FloatArray, right: FloatArray) -> FloatArray:
    """Solution of a small, symmetric, positive definite system by Cholesky's decomposition.

    Examples
    --------
    >>> solve(np.array([[4.0, 2.0], [2.0, 3.0]]), np.array([8.0, 7.0])).round(12).tolist()
    [1.25, 1.5]
    """
    size = len(right)
    lower = np.zeros((size, size))
    for row in range(size):
        for column in range(row + 1):
            rest = matrix[row, column] - np.sum(lower[row, :column] * lower[column, :column])
            # Columns that say the same may leave a rest of 0 or, rounded, below.
            lower[row, column] = np.sqrt(max(rest, RIDGE)) if row == column else rest / lower[column, column]
    solution = right.astype(np.float64)
    for row in range(size):
        solution[row] = (solution[row] - np.sum(lower[row, :row] * solution[:row])) / lower[row, row]
    for row in reversed(range(size)):
        solution[row] = (solution[row] - np.sum(lower[row + 1 :, row] * solution[row + 1 :])) / lower[row, row]
    return solution


def _newton_step(
    columns: FloatArray, targets: FloatArray, coefficients: FloatArray, weight: FloatArray, is_free: BoolArray
) -> FloatArray:
    expected = expit(linear(columns, coefficients))
    residual, variance = expected - targets, expected * (1 - expected)
    free = np.flatnonzero(is_free)
    gradient = np.array([np.sum(columns[i] * residual) for i in free]) + (weight * coefficients)[free]
    hessian = np.diag(weight[free] + RIDGE)
    for row, i in enumerate(free):
        weighted = columns[i] * variance
        for column, j in enumerate(free[: row + 1]):
            value = np.sum(weighted * columns[j])
            hessian[row, column] += value
            hessian[column, row] = hessian[row, column]
    step = np.zeros(len(coefficients))
    step[free] = solve(hessian, gradient)
    return step


def _loss(columns: FloatArray, targets: FloatArray, coefficients: FloatArray, weight: FloatArray) -> float:
    log_odds = linear(columns, coefficients)
    entropy = np.sum(np.logaddexp(0.0, log_odds) - targets * log_odds)
    return float(entropy + np.sum(weight * coefficients * coefficients) / 2)
