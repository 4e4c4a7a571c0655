package link

import (
	"tlsurge/faults"
	"tlsurge/faults/stage"
)

// impairment is what a rule does to the packets of one direction; ok is false if it does nothing there. A
// rule without a direction concerns both.
func impairment(r *faults.Rule, d stage.Direction) (i Impairment, ok bool, err error) {
	if r.Direction != 0 && r.Direction != d {
		return i, false, nil
	}
	switch r.Action {
	case faults.Drop:
		if r.At != stage.None {
			return i, false, nil // by flags, see flow.drops
		}
		i.Loss, i.Burst = r.Probability, r.Burst
	case faults.Blackhole:
		i.Loss = 1
	case faults.Delay:
		// Which packets are late would reorder them: the draw is for each packet's own share of the delay.
		i.Delay, i.Jitter = r.Duration, r.Jitter
	case faults.Duplicate:
		i.Duplicate = r.Probability
	case faults.Reorder:
		i.Reorder, i.ReorderBy = r.Probability, r.Duration
	case faults.Corrupt:
		i.Corrupt = r.Probability
	case faults.Throttle:
		i.Rate = r.Rate
	case faults.Shape:
		m, err := LookupModel(r.Model)
		if err != nil {
			return i, false, err
		}
		if d == stage.ClientToServer {
			return m.Up, true, nil
		}
		return m.Down, true, nil
	}
	return i, true, nil
}

// Validate says what is wrong with the link rules among rules: the name of a model.
func Validate(rules []faults.Rule) error {
	for i := range rules {
		if r := &rules[i]; r.Engine == faults.EngineLink {
			if _, _, err := impairment(r, stage.ClientToServer); err != nil {
				return &faults.RuleError{Fault: r.Name, Key: "model", Value: r.Model, Why: err.Error()}
			}
		}
	}
	return nil
}
