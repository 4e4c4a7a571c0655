package results

import (
	"errors"
	"fmt"
	"io/fs"
)

// InputError is a stored run, or a line of one, that cannot be used: the caller's input, exit 2. What
// it wraps says why: an UnreadableError, a ForeignError, a NewerSchemaError or a CutOffError.
type InputError struct {
	Path string
	Err  error
}

func (e *InputError) Error() string { return e.Err.Error() }
func (e *InputError) Unwrap() error { return e.Err }

// NewerSchemaError: the file was written by a later tlsurge.
type NewerSchemaError struct{ Path, Schema string }

func (e *NewerSchemaError) Error() string {
	return fmt.Sprintf("%s: schema %q is newer than this tlsurge, which reads up to %q", e.Path, e.Schema, Schema)
}

// ForeignError: the file is not a run of tlsurge.
type ForeignError struct{ Path, Seen string }

func (e *ForeignError) Error() string {
	return fmt.Sprintf("%s: not a run of tlsurge: %s; a run has \"schema\": %q", e.Path, e.Seen, Schema)
}

// UnreadableError: the file system does not give it.
type UnreadableError struct {
	Path string
	Want string // what would be read, in words
	Err  error
}

func (e *UnreadableError) Unwrap() error { return e.Err }

// Error leaves out the call and says the path once.
func (e *UnreadableError) Error() string {
	err := e.Err
	var failed *fs.PathError
	if errors.As(err, &failed) {
		err = failed.Err
	}
	return fmt.Sprintf("%q: %v; %s", e.Path, err, e.Want)
}

// CutOffError: the file or directory was not written to its end.
type CutOffError struct{ Path, Seen string }

func (e *CutOffError) Error() string { return fmt.Sprintf("%s: cut off: %s", e.Path, e.Seen) }
