"""What each of two ranks of a gloo group does, for tests/torch/test_distributed.py."""

import os

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

import cfloat.torch as ct


def run(rank, work, folder):
    """Do some work as one of two ranks."""
    os.environ |= {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    torch.set_num_threads(1)
    torch.manual_seed(100 + rank)  # ranks draw different seeds and data
    dist.init_process_group(
        "gloo", store=dist.FileStore(f"{folder}/store", 2), rank=rank, world_size=2
    )
    try:
        torch.save(work(rank, folder), f"{folder}/{work.__name__}_{rank}.pt")
        dist.barrier()
    finally:
        dist.destroy_process_group()


def network():
    torch_state = torch.get_rng_state()
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(7, 33), nn.ReLU(), nn.Linear(33, 5))
    torch.set_rng_state(torch_state)
    return made


def optimizers(params):
    return {"AdamW": ct.AdamW(params, lr=0.01), "SGD": ct.SGD(params, lr=0.01, momentum=0.9)}


def ddp(rank, folder):
    """Train with DDP, without a seed: parameters and states after 50 steps."""
    results = {}
    for name in ("AdamW", "SGD"):
        model = network()
        ct.quantize(
            model, weight="CFloat8_1_4_3", activation="CFloat8_1_4_3", gradient="CFloat8_1_5_2"
        )
        wrapped = nn.parallel.DistributedDataParallel(model)
        optimizer = optimizers(list(model.parameters()))[name]
        for _ in range(50):
            optimizer.zero_grad()
            # data and their size go by the rank
            wrapped(torch.randn(16, 7) * 30.0**rank).square().mean().backward()
            optimizer.step()
        results[name] = [p.detach() for p in model.parameters()]
        results[f"{name} biases"] = [
            [layer.activation_rounder.bias, layer.gradient_rounder.bias]
            for layer in (model[0], model[2])
        ]
        results[f"{name} seed"] = optimizer.param_groups[0]["seed"]
    return results


def set_gradients(params, step):
    """The same gradients, of whole parameters, on all ranks."""
    from torch.distributed.tensor import distribute_tensor

    for i, p in enumerate(params):
        words = np.random.default_rng([step, i]).standard_normal(tuple(p.shape)).astype(np.float32)
        gradient = torch.from_numpy(words).to(p.dtype)
        if hasattr(p, "placements"):
            gradient = distribute_tensor(gradient, p.device_mesh, p.placements)
        p.grad = gradient


def stepped(optimizer, params, begin, end):
    for step in range(begin, end):
        set_gradients(params, step)
        optimizer.step()


CASES = {
    "AdamW": (ct.AdamW, torch.float32, {}),
    "AdamW, bfloat16": (ct.AdamW, torch.bfloat16, {}),
    "AdamW, format": (ct.AdamW, torch.float32, {"parameter_format": "CFloat8_1_4_3"}),
    "AdamW, amsgrad": (ct.AdamW, torch.float32, {"amsgrad": True}),
    "SGD": (ct.SGD, torch.float32, {"momentum": 0.9}),
    "SGD, bfloat16": (ct.SGD, torch.bfloat16, {"momentum": 0.9}),
}


def fsdp(rank, folder):
    """Steps of whole parameters beside steps of shards, which are saved and go on."""
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
    from torch.distributed.fsdp import fully_shard

    results = {}
    for name, (make, dtype, how) in CASES.items():
        whole = network().to(dtype)
        expected = make(whole.parameters(), lr=0.05, seed=3, **how)
        stepped(expected, list(whole.parameters()), 0, 6)

        def sharded(dtype=dtype, make=make, how=how, seed=3):
            model = fully_shard(network().to(dtype))
            return model, make(model.parameters(), lr=0.05, seed=seed, **how)

        model, optimizer = sharded()
        stepped(optimizer, list(model.parameters()), 0, 3)
        at = f"{folder}/{name}"
        state, of_optimizer = get_state_dict(model, optimizer)
        dcp.save({"model": state, "optimizer": of_optimizer}, checkpoint_id=at)
        stepped(optimizer, list(model.parameters()), 3, 6)

        again, resumed = sharded(seed=11)
        state, of_optimizer = get_state_dict(again, resumed)
        read = {"model": state, "optimizer": of_optimizer}
        dcp.load(read, checkpoint_id=at)
        set_state_dict(
            again, resumed, model_state_dict=read["model"], optim_state_dict=read["optimizer"]
        )
        stepped(resumed, list(again.parameters()), 3, 6)
        results[name] = [
            (p.detach(), q.detach().full_tensor(), r.detach().full_tensor())
            for p, q, r in zip(
                whole.parameters(), model.parameters(), again.parameters(), strict=True
            )
        ]
    return results


def fsdp_training(rank, folder):
    """Train with FSDP2, without a seed, on each rank's own data."""
    from torch.distributed.fsdp import fully_shard

    model = fully_shard(network())
    optimizer = ct.AdamW(model.parameters(), lr=0.01)
    for _ in range(50):
        optimizer.zero_grad()
        model(torch.randn(16, 7) * 30.0**rank).square().mean().backward()
        optimizer.step()
    return {
        "parameters": [p.detach().full_tensor() for p in model.parameters()],
        "seed": optimizer.param_groups[0]["seed"],
        "biases": [int(optimizer.state[p]["exp_avg_bias"]) for p in model.parameters()],
    }


def columns(rank, folder):
    """Steps of a parameter that is sharded along its last axis, whose elements do not follow each other."""
    from torch.distributed.tensor import Shard, distribute_tensor, init_device_mesh

    values = torch.arange(35.0).reshape(5, 7) / 10
    mesh = init_device_mesh("cpu", (2,))
    p, q = nn.Parameter(distribute_tensor(values, mesh, [Shard(1)])), nn.Parameter(values.clone())
    sharded, whole = ct.AdamW([p], lr=0.1, seed=1), ct.AdamW([q], lr=0.1, seed=1)
    stepped(sharded, [p], 0, 4)
    stepped(whole, [q], 0, 4)
    moment = sharded.torch_state_dict()["state"][0]["exp_avg"].full_tensor()
    biases = [int(sharded.state[p]["exp_avg_bias"]), int(whole.state[q]["exp_avg_bias"])]
    return {
        "parameters": (p.detach().full_tensor(), q.detach()),
        "moments": (moment, whole.torch_state_dict()["state"][0]["exp_avg"]),
        "biases": biases,
    }


def calibration(rank, folder):
    """Biases of batches that go by the rank; rank 1's don't reach the second layer."""
    found = {}
    for method in ("max", "percentile", "mse", "moving_average"):
        for per in ("tensor", "channel"):
            model = ct.quantize(network(), activation="CFloat8_1_4_3")
            batches = [torch.randn(16, 7) * 30.0**rank for _ in range(rank + 1)]
            ct.calibrate(
                model, batches, method=method, per=per, progress=False,
                forward=model if rank == 0 else model[:2],
            )  # fmt: skip
            rounders = [model[0].activation_rounder, model[2].activation_rounder]
            found[method, per] = (
                [torch.as_tensor(each.bias) for each in rounders],
                [each.observed for each in rounders],
                torch.stack([x for batch in batches for x in batch]),
            )
    return found


def quantized_shards(rank, folder):
    """Layers that round, made before and after `fully_shard`; and plain states that they load."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict
    from torch.distributed.fsdp import fully_shard

    how = {"weight": "CFloat8_1_4_3", "activation": "CFloat8_1_5_2", "granularity": "axis 0"}
    x, found = torch.linspace(-1, 1, 21).reshape(3, 7), {}
    for rounding in ("ties_to_even", "stochastic"):
        for order in ("before", "after", "each layer before"):
            model = network()
            if order == "before":
                model = fully_shard(ct.quantize(model, rounding=rounding, seed=4, **how))
            else:
                for layer in (model[0], model[2]) if order != "after" else ():
                    fully_shard(layer)
                ct.quantize(fully_shard(model), rounding=rounding, seed=4, **how)
            y = model(x)
            y.square().mean().backward()
            found[rounding, order] = [
                y.detach(),
                *(p.grad.full_tensor() for p in model.parameters()),
            ]
        whole = ct.quantize(network(), rounding=rounding, seed=4, **how)
        found[rounding, "whole"] = [whole(x).detach()]

    drawn = ct.quantize(network(), weight="CFloat8_1_4_3", rounding="stochastic")
    ruled = ct.quantize(
        network(), rules={"*": {"weight": "CFloat8_1_4_3", "rounding": {"weight": "stochastic"}}}
    )
    found["streams"] = [
        layer.weight_rounder.stream for made in (drawn, ruled) for layer in made[::2]
    ]

    for granularity in ("tensor", "axis 0"):
        how = {"weight": "CFloat8_1_4_3", "granularity": granularity}
        model, whole = fully_shard(ct.quantize(network(), **how)), ct.quantize(network(), **how)
        options = StateDictOptions(full_state_dict=True)
        biases = []
        for times in (100, 1 / 100):
            plain = {name: value * times for name, value in network().state_dict().items()}
            whole.load_state_dict(dict(plain))
            set_model_state_dict(model, plain, options=options)
            biases.append([torch.as_tensor(each[0].weight_rounder.bias) for each in (model, whole)])
        # its own state is nothing new: what was learnt stays
        model[0].weight_rounder.history.fill_(3)
        model.load_state_dict(model.state_dict())
        found["loaded", granularity] = biases, model[0].weight_rounder.history
    return found


def all_work(rank, folder):
    works = (ddp, fsdp, fsdp_training, columns, calibration, quantized_shards)
    return {work.__name__: work(rank, folder) for work in works}
