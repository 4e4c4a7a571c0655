package proxy

import (
	"testing"
	"time"
)

func TestParsePlant(t *testing.T) {
	for _, row := range []struct {
		why, text string
		want      Plant
		ok        bool
	}{
		{"nothing is planted", "", Plant{}, true},
		{"processor time per handshake", "handshake+190us", Plant{PerHandshake: 190 * time.Microsecond}, true},
		{"both", "handshake+1ms,connection+65536B", Plant{PerHandshake: time.Millisecond, PerConnection: 65536}, true},
		{"no amount", "handshake", Plant{}, false},
		{"an amount without a unit", "handshake+10", Plant{}, false},
		{"something else", "disk+1ms", Plant{}, false},
		{"too much", "handshake+1h", Plant{}, false},
		{"less than nothing", "connection+-1B", Plant{}, false},
	} {
		got, err := ParsePlant(row.text)
		if (err == nil) != row.ok || got != row.want {
			t.Errorf("%s: %+v, %v", row.why, got, err)
		}
	}
}

func TestPlantTakesWhatItSays(t *testing.T) {
	p, err := ParsePlant("handshake+3ms")
	if err != nil {
		t.Fatal(err)
	}
	best := time.Hour // of several: on a busy machine the wall clock also counts the time that others had
	for range 50 {
		start := time.Now()
		p.spin()
		best = min(best, time.Since(start))
	}
	if best < 2*time.Millisecond {
		t.Errorf("spun %s, want about 3ms", best)
	}
	if got := len((Plant{PerConnection: 5000}).hold()); got != 5000 || (Plant{}).hold() != nil {
		t.Errorf("held %d bytes", got)
	}
}
