"""TensorBoard: event files, written by its own writer, without torch."""

from __future__ import annotations

import json
from typing import Any

from tui_ft import paths
from tui_ft.tracking.tracker import About, Figures


class TensorBoardTracker:
    """Writes scalars, and the spec as a text."""

    keep = None

    def __init__(self, about: About) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, types_pb2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        root = about.asked.logging_dir
        place = paths.expand(root) / about.id if root else about.folder / "tensorboard"
        place.mkdir(parents=True, exist_ok=True)
        self._writer: Any = EventFileWriter(str(place))
        text = tensor_pb2.TensorProto(
            dtype=types_pb2.DT_STRING,
            string_val=[f"```\n{json.dumps(about.spec, indent=2)}\n```".encode()],
            tensor_shape={"dim": [{"size": 1}]},
        )
        plugin = summary_pb2.SummaryMetadata.PluginData(plugin_name="text")
        metadata = summary_pb2.SummaryMetadata(plugin_data=plugin)
        value = self._summary.Value(tag="run", tensor=text, metadata=metadata)
        self._writer.add_event(self._event(step=0, summary=self._summary(value=[value])))

    def log(self, figures: Figures, step: int, seconds: float) -> None:
        """Write figures of a step."""
        values = [self._summary.Value(tag=n, simple_value=v) for n, v in figures.items()]
        event = self._event(wall_time=seconds, step=step, summary=self._summary(value=values))
        self._writer.add_event(event)
        self._writer.flush()

    def close(self, state: str) -> None:
        """Close the file."""
        self._writer.close()
