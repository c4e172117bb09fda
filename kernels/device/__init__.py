"""The Triton kernels and their launchers; importing a file of this folder imports Triton."""
