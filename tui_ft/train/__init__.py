"""The worker: model, adapters, objectives. A process of its own, which alone imports torch."""
