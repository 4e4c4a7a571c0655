package repro

// Change is one thing that a fix changes.
type Change struct{ Key, Value string }

// FixResult is what --fix came to.
type FixResult struct{}

// Effect is what one knob does to the report.
type Effect struct{}

func (t *task) knobs() {}
