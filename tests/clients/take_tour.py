"""Takes a tour with the client that openapi-python-client made: `take_tour.py ADDRESS`, with it in PYTHONPATH.

Runs in the environment of the clients; knows nothing of us but what the generated package says.
"""

import sys

from generated import AuthenticatedClient
from generated.api.blocks import create_block
from generated.api.files import get_state_dict
from generated.api.forward import run_forward
from generated.api.networks import create_network, get_network
from generated.api.parameters import edit_parameter, get_parameter, list_parameters
from generated.api.revisions import put_checkpoint
from generated.models import BlockOfOnesOwn, Edit, EditRequest, ForwardRequest, NewBlock, NewCheckpoint, NewNetwork

NAME = "generated_tour"
client = AuthenticatedClient(base_url=sys.argv[1], token="none is needed here")

definition = BlockOfOnesOwn.from_dict(
    {
        "hyperparameters": ["units"],
        "children": {"out": "Linear(4, units)"},
        "inputs": ["X"],
        "forward": ["return out(X) + 1"],
    }
)
block = create_block.sync_detailed(client=client, body=NewBlock(name="GeneratedBlock", definition=definition))
assert block.status_code == 201, block.content
assert block.parsed.name == "GeneratedBlock"

network = create_network.sync_detailed(
    client=client, body=NewNetwork(name=NAME, architecture=["GeneratedBlock(3)", "ReLU()"], seed=7)
)
assert network.status_code == 201, network.content
assert (network.parsed.name, network.parsed.revision, network.parsed.parameter_count) == (NAME, 1, 15)

X = [[1.0, 2.0, 3.0, 4.0]]
before = run_forward.sync_detailed(NAME, client=client, body=ForwardRequest(inputs=X))
assert before.status_code == 200, before.content
assert before.parsed.outputs["output"].shape == [1, 3]

listed = list_parameters.sync(NAME, client=client)
assert [item.name for item in listed.items] == ["0.out.weight", "0.out.bias"]

edits = EditRequest(edits=[Edit(index=":", expression="param * 0 + 5")])
edited = edit_parameter.sync_detailed(NAME, "0.out.bias", client=client, body=edits)
assert edited.status_code == 200, edited.content
assert get_parameter.sync(NAME, "0.out.bias", client=client).value.data == [5.0, 5.0, 5.0]
assert get_network.sync(NAME, client=client).revision == 2

tag = put_checkpoint.sync_detailed(NAME, "best", client=client, body=NewCheckpoint(revision=2))
assert tag.status_code in (200, 201), tag.content

file = get_state_dict.sync_detailed(NAME, client=client, format_="json")
assert file.status_code == 200, file.content
assert file.parsed["0.out.bias"].data == [5.0, 5.0, 5.0]
source = client.get_httpx_client().get(f"/v1/networks/{NAME}/code")
assert "class GeneratedBlock" in source.text

refused = run_forward.sync_detailed(NAME, client=client, body=ForwardRequest(inputs=[[1.0]]))
assert (refused.status_code, refused.parsed.code) == (422, "shape-mismatch"), refused.content
print("the tour is over")
