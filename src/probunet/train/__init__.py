"""Train a run: batches made on the device, one loop, checkpoints that survive anything."""
