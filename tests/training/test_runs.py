"""A classifier, a regressor, an autoencoder and a small language model: over HTTP and in plain PyTorch, bit for bit."""

import httpx
import torch
from safetensors.torch import save
from torch import nn
from torch.nn import functional as F

from tests.laboratory import assert_same_state, create, state_of
from tests.training.runs import follow, plain, start, wait


def clip(net: nn.Module) -> None:
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)


G = torch.Generator().manual_seed(3)


def test_a_classifier_with_convolutions_and_batch_norms(service: httpx.Client, fresh_name):
    images, classes = torch.randn(24, 1, 8, 8, generator=G), torch.randint(0, 3, (24,), generator=G)
    name, data = fresh_name(), fresh_name("images")
    create(
        service,
        name,
        ["Conv2d(1, 4, 3)", "BatchNorm2d(4)", "ReLU()", "MaxPool2d(2)", "Flatten()", "Dropout(0.2)", "Linear(36, 3)"],
        seed=7,
    )
    content = save({"images": images, "classes": classes})
    saved = service.put(
        f"/v1/artifacts/{data}", content=content, headers={"Content-Type": "application/vnd.safetensors"}
    )
    assert saved.status_code == 201, saved.text
    job = start(
        service,
        name,
        inputs={"artifact": data, "item": "images"},
        targets={"y": {"artifact": data, "item": "classes"}},
        loss="cross_entropy(output, y)",
        optimizer="AdamW(lr=0.01)",
        scheduler="CosineAnnealingLR(3)",
        epochs=3,
        batch_size=10,
        seed=5,
    )
    assert service.delete(f"/v1/artifacts/{data}").status_code == 204, "a run keeps what it learns from"
    result = wait(service, job)
    torch.manual_seed(7)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.2),
        nn.Linear(36, 3),
    )  # fmt: skip
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3)
    plain(
        net, optimizer, F.cross_entropy, (images, classes), seed=5, batch_size=10, epochs=3, after_epoch=scheduler.step
    )
    assert_same_state(state_of(service, name), net)
    assert (result["revision"], result["steps"], result["epochs"], result["stopped"]) == (2, 9, 3, "done")


def test_a_regressor_of_one_s_own_block(service: httpx.Client, fresh_name):
    class Regressor(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = nn.Linear(5, 6)
            self.out = nn.Linear(6, 1)

        def forward(self, x):
            return self.out(torch.tanh(self.hidden(x)))

    x = torch.randn(30, 5, generator=G)
    y = x.sum(1, keepdim=True).sin()
    name = fresh_name()
    block = {
        "children": {"hidden": "Linear(5, 6)", "out": "Linear(6, 1)"},
        "inputs": ["x"],
        "forward": "return out(tanh(hidden(x)))",
    }
    create(service, name, block, seed=7)
    request = {"loss": "SmoothL1Loss()(output, y)", "optimizer": {"type": "RMSprop", "kwargs": {"lr": 0.003}}}
    wait(service, start(service, name, inputs={"x": x}, targets=y, **request, epochs=4, batch_size=8, seed=9))
    torch.manual_seed(7)
    net = Regressor()
    optimizer = torch.optim.RMSprop(net.parameters(), lr=0.003)
    plain(net, optimizer, F.smooth_l1_loss, (x, y), seed=9, batch_size=8, epochs=4)
    assert_same_state(state_of(service, name), net)


def test_an_autoencoder_with_tied_weights_learns_its_inputs(service: httpx.Client, fresh_name):
    class Autoencoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Linear(6, 6, bias=False)
            self.decoder = nn.Linear(6, 6, bias=False)
            self.decoder.weight = self.encoder.weight

        def forward(self, x):
            return self.decoder(torch.relu(self.encoder(x)))

    x = torch.rand(20, 6, generator=G)
    name = fresh_name()
    block = {
        "children": {"encoder": "Linear(6, 6, bias=False)", "decoder": "Linear(6, 6, bias=False)"},
        "ties": [["decoder.weight", "encoder.weight"]],
        "inputs": ["x"],
        "forward": "return decoder(relu(encoder(x)))",
    }
    create(service, name, block, seed=7)
    optimizer = "SGD(lr=0.1, momentum=0.9)"
    request = {"inputs": {"x": x}, "loss": "mse_loss(output, x)", "optimizer": optimizer}
    wait(service, start(service, name, **request, epochs=3, batch_size=6, seed=2))
    torch.manual_seed(7)
    net = Autoencoder()
    plain(
        net, torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9), F.mse_loss, (x, x), seed=2, batch_size=6, epochs=3
    )
    assert_same_state(state_of(service, name), net)


def test_a_small_language_model(service: httpx.Client, fresh_name):
    class LanguageModel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(11, 8)
            self.lstm = nn.LSTM(8, 8, num_layers=2, dropout=0.1, batch_first=True)
            self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
            self.head = nn.Linear(8, 11)

        def forward(self, ids):
            hidden, _ = self.lstm(self.table(ids))
            return self.head(self.block(hidden))

    ids = torch.randint(0, 11, (16, 7), generator=G)
    name = fresh_name()
    block = {
        "children": {
            "table": "Embedding(11, 8)",
            "lstm": "LSTM(8, 8, num_layers=2, dropout=0.1, batch_first=True)",
            "block": "TransformerEncoderLayer(8, 2, 16, batch_first=True)",
            "head": "Linear(8, 11)",
        },
        "inputs": ["ids"],
        "forward": ["hidden, _ = lstm(table(ids))", "return head(block(hidden))"],
    }
    create(service, name, block, seed=7)
    wait(
        service,
        start(
            service,
            name,
            inputs={"ids": ids[:, :-1]},
            targets={"next": ids[:, 1:]},
            loss="cross_entropy(output.flatten(0, 1), next.flatten())",
            optimizer="Adam(lr=0.01, betas=(0.9, 0.98))",
            clip=1.0,
            epochs=2,
            batch_size=4,
            seed=1,
        ),
    )
    torch.manual_seed(7)
    net = LanguageModel()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01, betas=(0.9, 0.98))
    optimizer.register_step_pre_hook(lambda *_: clip(net))

    def loss(output, target):
        return F.cross_entropy(output.flatten(0, 1), target.flatten())

    plain(net, optimizer, loss, (ids[:, :-1], ids[:, 1:]), seed=1, batch_size=4, epochs=2)
    assert_same_state(state_of(service, name), net)


def test_neither_an_export_nor_another_job_waits_for_a_training(service: httpx.Client, fresh_name):
    long, other = fresh_name("long"), fresh_name("other")
    for name in (long, other):
        create(service, name, ["Linear(4, 1)"], seed=7, device="cpu:0")
    request = {"loss": "mse_loss(output, y)", "optimizer": "SGD(lr=0.001)", "epochs": 1_000_000}
    training = start(service, long, inputs=torch.zeros(8, 4), targets={"y": torch.zeros(8, 1)}, **request)
    next(data for _, kind, data in follow(service, training) if kind == "progress")  # it is under way
    try:
        exported = service.get(f"/v1/networks/{other}/export", timeout=120.0)
        assert exported.status_code == 200, exported.text
        rules = {"rules": [{"parameters": {"weight": "ones_()", "bias": "zeros_()"}}]}
        accepted = service.post(f"/v1/networks/{other}/initialize", json=rules, headers={"Prefer": "respond-async"})
        job = accepted.headers["location"]
        wait(service, job)
        assert service.get(job).json()["progress"] == {"fraction": 1.0}
        assert service.get(training).json()["state"] == "running"
    finally:
        service.post(f"{training}/cancel")


def test_a_run_that_is_over_at_once_has_told_how_far_it_came(service: httpx.Client, fresh_name):
    name = fresh_name()
    create(service, name, ["Linear(4, 1)"], seed=7)
    request = {"loss": "mse_loss(output, y)", "optimizer": "SGD(lr=0.001)", "epochs": 2}
    job = start(service, name, inputs=torch.zeros(8, 4), targets={"y": torch.zeros(8, 1)}, **request)
    wait(service, job)
    told = service.get(job).json()["progress"]
    assert (told["fraction"], told["step"], told["steps"]) == (1.0, 2, 2)
