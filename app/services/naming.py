"""Names of networks: the rule, and names that are made up for those who give none.

Names stand in addresses, in file names that clients save, and in logs, so they are plain ASCII. A name that breaks
the rule can belong to nothing: looking it up is a miss, not a mistake.
"""

import re
import secrets

from app.errors import in_place

NAME_RULE = "a name has 1 to 128 letters, digits, `.`, `_` or `-`, and begins with a letter, a digit or `_`"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")

# fmt: off
_ADJECTIVES = [
    "able", "amber", "ample", "apt", "azure", "bold", "brave", "brief", "bright", "brisk", "calm", "clear",
    "clever", "coral", "cosy", "crisp", "deep", "deft", "eager", "early", "fair", "fast", "fine", "firm", "fond",
    "fresh", "gentle", "glad", "golden", "grand", "green", "happy", "hardy", "honest", "humble", "jolly", "keen",
    "kind", "large", "light", "lively", "lucid", "lucky", "mellow", "merry", "mild", "neat", "nimble", "noble",
    "patient", "plain", "prime", "proud", "quick", "quiet", "rapid", "ready", "rosy", "round", "sharp", "silver",
    "sleek", "smart", "smooth", "snug", "solid", "sound", "stable", "steady", "still", "strong", "sunny", "swift",
    "tidy", "true", "vast", "vivid", "warm", "wise", "young",
]
_NOUNS = [
    "acorn", "alder", "ash", "aspen", "badger", "bay", "beech", "birch", "brook", "cedar", "cliff", "clover",
    "comet", "cove", "crane", "creek", "dale", "delta", "dune", "eagle", "elm", "falcon", "fern", "finch", "fjord",
    "forest", "fox", "gale", "glade", "grove", "gull", "harbor", "hare", "hawk", "hazel", "heath", "heron", "hill",
    "holly", "ibis", "iris", "island", "ivy", "jay", "juniper", "kestrel", "lake", "larch", "lark", "laurel",
    "lily", "linden", "lotus", "lynx", "maple", "marsh", "meadow", "moon", "moss", "oak", "ocean", "olive",
    "orchid", "osprey", "otter", "owl", "pebble", "pine", "plover", "pond", "poplar", "quail", "raven", "reef",
    "ridge", "river", "robin", "rowan", "sage", "seal", "shore", "sky", "sparrow", "spruce", "star", "stone",
    "stream", "swan", "thrush", "tide", "valley", "vale", "walnut", "wave", "willow", "wren", "yew",
]
# fmt: on


def is_name(text: str) -> bool:
    """Tells whether `text` follows the rule."""
    return _NAME.fullmatch(text) is not None


def check_name(text: str, pointer: str = "/name") -> str:
    """Returns the name. Raises: Unprocessable `bad-name` with the rule in words."""
    if not is_name(text):
        raise in_place(pointer, f"This is not a name: {NAME_RULE}.", code="bad-name")
    return text


def made_up_name() -> str:
    """A readable name that is new for all practical purposes: `brisk-heron-4f8k2a`."""
    tail = "".join(secrets.choice("23456789abcdefghjkmnpqrstuvwxyz") for _ in range(6))
    return f"{secrets.choice(_ADJECTIVES)}-{secrets.choice(_NOUNS)}-{tail}"
