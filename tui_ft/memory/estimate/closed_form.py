"""The closed form: a step's peak from sizes alone, in less than a millisecond."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import msgspec

from tui_ft.memory.allocator import MIB
from tui_ft.memory.estimate import heads
from tui_ft.memory.estimate.adapters import adapter_of
from tui_ft.memory.estimate.families import forward_of
from tui_ft.memory.estimate.heads import Loss
from tui_ft.memory.estimate.optimizer import states_of, step_takes
from tui_ft.memory.estimate.parts import Input, Part, checkpointed, forward_only, measured
from tui_ft.memory.estimate.tape import Tape, Tensor, block_of
from tui_ft.memory.estimate.weights import Held, Weights
from tui_ft.memory.step import BYTES, Step
from tui_ft.models import Architecture, architecture_of


def moments(step: Step) -> dict[str, int]:
    a = _architecture(msgspec.json.encode(step.config), {"reward": 1, "classification": step.num_labels}.get(step.objective))
    ad = adapter_of(step.adapter, a)
    w = Weights(step, a, ad)
    rows = step.batch * (2 if step.objective in ("dpo", "reward") else 1)
    S = step.length + (ad.tokens if ad and ad.kind in ("prompt","p_tuning") else 0)
    T = rows*S
    low = BYTES[step.arithmetic] if step.arithmetic else None
    xw = w.width
    from tui_ft.memory.estimate.families import shapes_of, mask_bytes
    both = shapes_of(step, a, rows, S)
    sh = both[0]
    fwd = forward_of(a)
    scores = step.objective in ("reward","classification")
    sup = step.supervised
    n = max(1, round(rows*(step.length-1)*sup))
    loss = Loss("scores" if scores else "logits" if step.objective=="causal_lm" else "fused", rows, S, n, step.holds_outputs)
    kinds = w.kinds_of_layers()
    per = {}
    for k,_ in kinds: per.setdefault(k, list(w.held(k)))
    once = list(w.held(None))
    allheld = [(h,1) for h in once] + [(h,1) for k,_ in kinds for h in per[k]]
    weights = sum(h.all_sizes for h,_ in allheld)
    trained = [h for h,_ in allheld if h.trained]
    states = states_of(step.optim, trained)
    G = sum(h.all_sizes for h in trained)
    gl = {k: 0 if step.accumulation else sum(h.all_sizes for h in per[k] if h.trained) for k in per}
    gonce = 0 if step.accumulation else sum(h.all_sizes for h in once if h.trained)
    cos = 2*S*a.head_dim*xw if a.positions=="rotary" else 0
    mask = mask_bytes(step, both)
    base = weights + states + int(step.workspace_mib*MIB) + (G if step.accumulation else 0)
    ref = 0
    if step.holds_reference:
        ref = sum(h.all_sizes for h,_ in allheld if h.kind!="adapters"); base += ref
    inp = 3*8*T + cos + mask
    ck = step.checkpointing
    needs_emb = (ck and ad is not None) or (ad is not None and ad.kind in ("prompt","p_tuning"))
    t = Tape(low=low); x0 = heads.embedded(t,w,sh,loss,learns=needs_emb)
    ef = t.peak; x_needs = x0.source is not None; width0=x0.width; cnt=x0.count
    src=x0.source; x0size = x0.storage.size
    del x0; t.forget_casts(); eholds = t.live
    t.peak=t.live
    if src is not None and t.nodes:
        from tui_ft.memory.estimate.tape import Storage
        src.take(Storage(t, cnt*width0)); del src; t.peak=t.live; t.backward()
    eb = t.peak
    parts={}
    measure = checkpointed if ck else measured
    first = kinds[0][0]
    seq=[]
    for i,(k,num) in enumerate(kinds):
        needs = x_needs if i==0 else True
        win = num in a.windowed_layers
        if (k,needs,win) not in parts:
            parts[k,needs,win]=measure(lambda t,x: fwd(t,x,w.layer(k),both[win]), Input(cnt,width0,needs), low)
        seq.append(parts[k,needs,win])
    head = measured(lambda t,x: heads.finished(t,x,w,sh,loss), Input(cnt,width0,True), low)
    m={}
    run = base + inp
    f = run + ef; m["forward"]=f
    f = run + x0size + eholds
    for p in seq: m["forward"]=max(m["forward"], f+p.forward); f+=p.during
    m["forward"]=max(m["forward"], f+head.forward)
    if step.objective=="dpo":
        wr = Weights(step,a,None) if step.holds_reference else w
        r = forward_only(lambda t,x: fwd(t,x,wr.layer(0,adapted=False,trained=False),sh), Input(cnt,width0,False), low)
        hr = forward_only(lambda t,x: heads.finished(t,x,w,sh,loss), Input(cnt,width0,False), low)
        m["forward"]=max(m["forward"], f+head.holds + x0size + max(r.forward, hr.forward))
    held = run + x0size + eholds + sum(p.holds for p in seq)
    b = held + head.backward
    g = sum(h.all_sizes for h in once if h.trained and not step.accumulation and h.shape[0]!=-1) if 0 else 0
    hg = 0 if step.accumulation else sum(h.all_sizes for h in w._tensors(a.output,None) if h.trained)
    if a.tied and w.full and not step.accumulation: hg = block_of(a.embeddings[0].parameters*xw)
    g = hg
    for p,(k,num) in zip(reversed(seq), reversed(kinds)):
        held -= p.holds
        b = max(b, held + p.backward + g); g += gl[k]
    b = max(b, run + g + eb)
    m["backward"]=b
    m["optimizer"]= base + (0 if step.accumulation else G) + step_takes(step.optim, trained)
    return m


@lru_cache(maxsize=64)
def _architecture(config: bytes, labels: int | None) -> Architecture:
    return architecture_of(msgspec.json.decode(config), labels)
