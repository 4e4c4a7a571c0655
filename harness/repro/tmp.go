package repro

import "context"

func (t *task) fix(ctx context.Context) error    { return nil }
func (t *task) whatIf(ctx context.Context) error { return nil }
func (t *task) write() error                     { return nil }
