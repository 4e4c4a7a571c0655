package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
)

// A machine that has no room is a machine that cannot do that; everyone who finds out is heard once.
func TestAFullDisk(t *testing.T) {
	full := fmt.Errorf("scenario: %w", &os.PathError{Op: "write", Path: "scenario.toml", Err: syscall.ENOSPC})
	if code := exitCode(errors.Join(errors.New("start"), full)); code != exitUnsupported {
		t.Errorf("exit %d, want 3", code)
	}
	if got, want := oneLine(errors.Join(full, errors.New("joining"), full)), full.Error()+"; joining"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
