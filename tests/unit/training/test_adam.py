"""Steps by rows against torch's own, and against the same in other axes."""

import torch
from torch import Tensor, nn

from workers.training.adam import Adam, Group

NUM_STEPS, LEARNING_RATE = 5, 0.1


def stepped(start: Tensor, gradients: list[Tensor], *, share: float = 1.0) -> Tensor:
    """Where steps by rows lead with these gradients."""
    rows = nn.Parameter(start.clone())
    optimizer = Adam([Group([rows], LEARNING_RATE, by_rows=True)])
    for gradient in gradients:
        rows.grad = gradient.clone()
        optimizer.step(share)
    return rows.detach()


def drawn(num_rows: int, num_columns: int) -> tuple[Tensor, list[Tensor]]:
    generator = torch.Generator().manual_seed(1)
    start, *gradients = torch.randn(NUM_STEPS + 1, num_rows, num_columns, generator=generator)
    return start, gradients


def test_rows_of_one_number_take_the_steps_of_torchs_adam() -> None:
    start, gradients = drawn(6, 1)
    theirs = nn.Parameter(start.clone())
    optimizer = torch.optim.Adam([theirs], lr=LEARNING_RATE / 2, eps=1e-15)
    for gradient in gradients:
        theirs.grad = gradient.clone()
        optimizer.step()
    torch.testing.assert_close(stepped(start, gradients, share=0.5), theirs.detach())


def test_in_other_axes_the_steps_are_the_same() -> None:
    start, gradients = drawn(4, 8)
    axes = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(2))).Q
    turned = stepped(start @ axes, [gradient @ axes for gradient in gradients])
    torch.testing.assert_close(turned, stepped(start, gradients) @ axes)


def test_the_size_of_a_gradient_does_not_matter_and_rows_without_one_stay() -> None:
    start, gradients = drawn(3, 8)
    tiny = [1e-9 * gradient for gradient in gradients]
    for gradient in tiny:
        gradient[1] = 0
    left = stepped(start, tiny)
    assert torch.equal(left[1], start[1])
    torch.testing.assert_close(left[::2], stepped(start, gradients)[::2])
