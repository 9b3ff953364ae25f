"""What `make bench` measures. Every figure is taken here and now; ratios come from one run."""
