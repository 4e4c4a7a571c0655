package symptom

import "fmt"

// Chain is what one client did: attempts that follow each other closely.
type Chain struct {
	Client   string   `json:"client"`
	Server   string   `json:"server"`
	Attempts []string `json:"attempts"`
}

func (c Chain) String() string { return fmt.Sprintf("%s -> %s: %v", c.Client, c.Server, c.Attempts) }
