"""The greatest scores of each row, with a rule for equal ones."""

from torch import Tensor


def top_k(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k greatest of scores[n, P], k <= P: values [n, k] and columns [n, k], equal values by column.

    `torch.topk` alone takes any of several equal ones, and not the same on every device.
    """
    is_whole = k == scores.shape[1]
    best = scores.topk(k if is_whole else k + 1, dim=1)
    columns, by_column = best.indices.sort(dim=1)
    values, by_value = best.values.gather(1, by_column).sort(dim=1, descending=True, stable=True)
    columns = columns.gather(1, by_value)
    if not is_whole:
        # Where the last place ties with what comes next, there may be more of them with a lower column.
        is_cut = (values[:, k - 1] == values[:, k]) & ~values[:, k].isneginf()
        if bool(is_cut.any()):
            in_order = scores[is_cut].sort(dim=1, descending=True, stable=True)
            values[is_cut], columns[is_cut] = in_order.values[:, : k + 1], in_order.indices[:, : k + 1]
    return values[:, :k], columns[:, :k]
