"""Files to an index and back: `import` and `export`, which a crash only interrupts."""
