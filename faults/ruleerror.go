package faults

import (
	"errors"
	"fmt"
)

// RuleError is a rule that cannot stand as it is written: which key, what was seen, what is allowed.
type RuleError struct {
	Fault string
	Key   string // as in a scenario: "action", "who.profile"
	Value any
	Why   string
}

func (e *RuleError) Error() string {
	return fmt.Sprintf("fault %q: %s = %#v: %s", e.Fault, e.Key, e.Value, e.Why)
}

// ErrorKey gives the key that err is about; "" where it is about the rule as a whole.
func ErrorKey(err error) string {
	var re *RuleError
	if errors.As(err, &re) {
		return re.Key
	}
	return ""
}
