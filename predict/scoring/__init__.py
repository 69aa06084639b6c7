"""From instances to predictions."""
