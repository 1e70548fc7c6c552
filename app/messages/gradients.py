"""Tasks that make and read gradients, and their replies."""

from app.messages.base import Encoded, Message, NetworkRef
from app.messages.forward import Mode


class RunBackward(Message, frozen=True, omit_defaults=True):
    """Run a network and take the gradient of a loss. `body` is the request's body, unread. Reply: `Backpropagated`.

    A JSON body says `loss`, `targets`, `revision`, `mode`, `seed` and `accumulate` itself; what it does not say is
    taken from here.
    """

    network: NetworkRef
    body: bytes
    content_type: str
    accept: str
    loss: str | None = None
    revision: int | None = None
    mode: Mode = "eval"
    seed: int | None = None
    accumulate: bool = False


class DescribeGradients(Message, frozen=True):
    """Tell how the gradients of a manifest are spread. Reply: `Encoded` (JSON: summaries by name)."""

    manifest: str


class Backpropagated(Message, frozen=True):
    """Gradients that are in the store, to be kept with `network`, at its revision."""

    reply: Encoded
    network: NetworkRef
    manifest: str
    accumulated: bool = False  # to be kept only where `added_to` still is what there is
    added_to: str | None = None  # the manifest of gradients that are in the sum; None: there were none
