"""Windows that come from the memory map to the device while it computes, for recordings that do not fit on it."""

import contextlib

import torch

CHUNK = 16  # steps whose windows are copied together; twice as many have their place on the device


class Stream:
    """A buffer on the device with the windows of the next steps.

    The order of an epoch is known: chunks of steps are gathered into pinned memory, and copied during the chunk before.
    """

    def __init__(self, recordings, n_seconds):
        self.recordings, self.n_seconds, self.per_step = recordings, n_seconds, None
        self.copier = torch.cuda.Stream(recordings.device) if recordings.device.type == "cuda" else None

    def begin(self, first):
        """Take the places of an epoch's first seconds (n_steps, ...); returns those in the buffer, for `at`."""
        self.first = first.flatten(1).cpu()
        n_steps, per_step = self.first.shape
        if self.per_step != per_step:
            self.per_step = per_step
            self._allocate()
        self._fill(0)
        place = torch.arange(n_steps * per_step, device=first.device) * self.n_seconds
        return place.remainder(2 * CHUNK * per_step * self.n_seconds).view_as(first)

    def _allocate(self):
        """Buffers in two halves, by modality."""
        rows, device = CHUNK * self.per_step * self.n_seconds, self.recordings.device
        self.halves, self.blocks = {}, {}
        for name in self.recordings.blocks:
            shape = (2, rows, self.recordings.n_channels(name), self.recordings.blocks[name].shape[-1])
            self.halves[name] = torch.empty(shape, pin_memory=self.copier is not None)
            self.blocks[name] = torch.empty(shape, device=device)
        self.copied = [torch.cuda.Event(), torch.cuda.Event()] if self.copier else None

    def ready(self, step):
        """Before each step: the windows of this one are there, and those of the next chunk on their way."""
        if step % CHUNK == 0:
            self._fill(step // CHUNK + 1)
            if self.copier:
                torch.cuda.current_stream().wait_event(self.copied[step // CHUNK % 2])

    def _fill(self, chunk):
        """Copy a chunk into its half, after the last steps that read from it."""
        first, half = self.first[chunk * CHUNK : (chunk + 1) * CHUNK].flatten(), chunk % 2
        if not len(first):
            return
        if self.copier:
            self.copied[half].synchronize()  # of this half's last copy, long ago
            self.copier.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.copier) if self.copier else contextlib.nullcontext():
            for name, staged in self.halves.items():
                rows = staged[half, : len(first) * self.n_seconds]
                self.recordings.gather(name, first, self.n_seconds, out=rows)
                self.blocks[name][half, : len(rows)].copy_(rows, non_blocking=True)
            if self.copier:
                self.copied[half].record()

    def at(self, modality, first, n_seconds):
        """1 s blocks (n, n_seconds, C, rate) of the windows at these places of the buffer."""
        index = first[:, None] + torch.arange(n_seconds, device=first.device)
        return self.blocks[modality].flatten(0, 1).index_select(0, index.flatten()).unflatten(0, index.shape)
