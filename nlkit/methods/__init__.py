"""NoiseAL, SiDyP and their rivals, all with the same interface."""
