"""A fake ComfyUI server: its jobs, kept in memory, in rows that leave out what has no value.

A row shows when its work began only once it has ended. A single job is shown with its whole workflow.
"""

from __future__ import annotations

import math

from starlette.responses import PlainTextResponse

from exporter.simulator.vendor import Answer, FakeCall, FakeVendor, Row, VendorJSON, endpoint
from exporter.simulator.world.content import prompt, signed_url
from exporter.simulator.world.life import Life, LifeMoment
from exporter.simulator.world.profiles import Failure, Profile, uuid
from exporter.tasks import Reason, State

STATES = {
    State.QUEUED: "pending",
    State.RUNNING: "in_progress",
    State.SUCCEEDED: "completed",
    State.FAILED: "failed",
    State.CANCELLED: "cancelled",
}


class ComfyUI(FakeVendor):
    type = "comfyui"
    prefix = "/comfyui"
    profiles = (
        Profile(
            ("comfyui", "job"),
            per_minute=2,
            queue=(1, 120),
            run=(30, 400),
            cancelled=0.03,
            models=("0f3b7a52-5f0e-4c8e-9d0a-1f6f7c2b9a10", "c1b7d6f8-2b43-4d0b-8a55-77f1c6a0e9d2"),
            new_id=uuid,
            failures=(
                Failure(Reason.PROVIDER_INTERNAL, "Allocation on device", "torch.OutOfMemoryError", weight=3),
                Failure(Reason.PROVIDER_INTERNAL, "mat1 and mat2 shapes cannot be multiplied", "RuntimeError"),
                Failure(Reason.INVALID_INPUT, "Expected 81 frames, got 80", "ValueError"),
                Failure(Reason.INVALID_INPUT, "[Errno 2] No such file: 'clip.mp4'", "FileNotFoundError"),
                # Nodes that call other vendors repeat what those say.
                Failure(Reason.MODERATION, "The output was blocked by content moderation", "RuntimeError"),
                Failure(
                    Reason.INSUFFICIENT_BALANCE, "Payment Required: Please add credits to your account", "Exception"
                ),
            ),
        ),
    )

    over_limit = PlainTextResponse("429: Too Many Requests", 429)  # of a proxy: the server itself has no limit
    invalid = VendorJSON({"error": "limit and offset must be positive integers"}, 400)
    unknown = VendorJSON({"error": "Job not found"}, 404)

    @endpoint("job/list", "/api/jobs")
    def _list(self, call: FakeCall) -> Answer:
        limit, offset = call.number("limit", 100), max(0, call.number("offset", 0, -math.inf))
        if call.query_params.get("sort_by", "created_at") not in ("created_at", "execution_duration"):
            return VendorJSON({"error": "sort_by must be one of: created_at, execution_duration"}, 400)
        lives = call.listed()
        if call.query_params.get("sort_order", "desc") == "asc":
            lives = lives[::-1]
        rows = call.rows(_row, lives[offset : offset + limit])
        more = offset + len(rows) < len(lives)
        return {"jobs": rows, "pagination": {"offset": offset, "limit": limit, "total": len(lives), "has_more": more}}

    @endpoint("job/detail", "/api/jobs/{task_id}")
    def _detail(self, call: FakeCall) -> Answer:
        life, moment = call.task()
        nodes = {"6": {"inputs": {"text": prompt(life.id)}, "class_type": "CLIPTextEncode"}}
        workflow = {"prompt": nodes, "extra_data": {"create_time": round(life.submitted * 1000)}}
        return _row(life, moment) | {"workflow": workflow}


def _row(life: Life, moment: LifeMoment) -> Row:
    ended = moment.ended
    started = ended if moment.started is None else moment.started
    row: Row = {
        "id": life.id,
        "status": STATES[moment.state],
        "priority": int(life.submitted) % 100_000,
        "create_time": round(life.submitted * 1000),
        "execution_start_time": round(started * 1000) if ended is not None and started is not None else None,
        "execution_end_time": round(ended * 1000) if ended is not None else None,
        "outputs_count": int(moment.state is State.SUCCEEDED),
        "workflow_id": life.model or None,
    }
    if moment.state is State.SUCCEEDED:
        row["preview_output"] = {
            "filename": signed_url(life.id, "video.mp4"),
            "subfolder": "video",
            "type": "output",
            "nodeId": "9",
            "mediaType": "video",
        }
    if moment.state is State.FAILED:
        row["execution_error"] = {
            "node_id": "3",
            "node_type": "KSampler",
            "exception_type": life.code,
            "exception_message": life.words,
            "traceback": [f"  File execution.py, line 1, in execute\n    {prompt(life.id)}\n"],
            "current_inputs": {"text": [prompt(life.id)]},
        }
    return {key: value for key, value in row.items() if value is not None}
