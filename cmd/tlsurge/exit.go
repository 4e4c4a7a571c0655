package main

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/spf13/cobra"

	"tlsurge/faults"
	"tlsurge/harness"
	"tlsurge/harness/fleet"
	"tlsurge/harness/scenario"
	"tlsurge/results"
)

// Exit codes. Scripts rely on them; where several hold, 2, 3 and 5 come before 4, and 4 before 1.
const (
	exitGood        = 0
	exitFailed      = 1 // a threshold or a regression
	exitUsage       = 2 // usage or configuration
	exitUnsupported = 3 // this machine cannot do that
	exitInvalid     = 4 // the run is INVALID or was cut short
	exitInternal    = 5
)

// exitError carries a code that is not an error of the program, and the text for standard error.
type exitError struct {
	code int
	text string
}

func (e *exitError) Error() string { return e.text }

func usagef(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Sprintf(format, args...)}
}

// exitCode is the one place that turns an error into an exit code.
func exitCode(err error) int {
	var ee *exitError
	var se *scenario.Error
	var ie *results.InputError
	var start *fleet.StartError
	switch {
	case err == nil:
		return exitGood
	case errors.As(err, &ee):
		return ee.code
	case errors.As(err, &se), errors.As(err, &ie), harness.IsConfig(err):
		return exitUsage
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EMFILE), errors.Is(err, faults.ErrUnsupported), errors.As(err, &start) && start.Code == exitUnsupported:
		return exitUnsupported
	}
	return exitInternal
}

// verdictError gives the code of a finished run: 4 before 1, SUSPECT is good.
func verdictError(r *results.Run) error {
	if r.Verdict.State == results.Invalid {
		return &exitError{code: exitInvalid}
	}
	for _, t := range r.Thresholds {
		if !t.Pass {
			return &exitError{code: exitFailed}
		}
	}
	return nil
}

// exactly refuses another number of arguments and says what the command takes.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usagef("%s takes %s\nSee '%s --help'.", cmd.CommandPath(), what, cmd.CommandPath())
		}
		return nil
	}
}
