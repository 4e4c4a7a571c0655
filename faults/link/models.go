package link

import (
	"fmt"
	"strings"
	"time"
)

// Model is a named path, both directions.
type Model struct {
	Name     string
	Up, Down Impairment // client to server, server to client
	About    string
	Source   string // where the figures are from, and which of them are ours
}

// kbit is 1000 bits per second in bytes.
const kbit = 1000 / 8

const ms = time.Millisecond

// Models lists the named paths. They are the access link's; the server's own delay comes on top.
func Models() []Model {
	conditioner := "Apple Network Link Conditioner, profile "
	return []Model{
		{Name: "edge-2015", About: "2G mobile data",
			Up:     Impairment{Rate: 200 * kbit, Delay: 440 * ms, Jitter: 80 * ms, Loss: 0.005},
			Down:   Impairment{Rate: 240 * kbit, Delay: 400 * ms, Jitter: 80 * ms, Loss: 0.005},
			Source: conditioner + "Edge (240/200 kbit/s, 400/440 ms); jitter and loss are ours, half of the 1 % of Loadero's Edge"},
		{Name: "3g", About: "UMTS of its middle years",
			Up:     Impairment{Rate: 330 * kbit, Delay: 100 * ms, Jitter: 25 * ms, Loss: 0.005},
			Down:   Impairment{Rate: 780 * kbit, Delay: 100 * ms, Jitter: 25 * ms, Loss: 0.005},
			Source: conditioner + "3G, Average Case (780/330 kbit/s, 100 ms); loss as Loadero's 3G (0.5 %); jitter is half of Loadero's"},
		{Name: "lte", About: "a good LTE cell",
			Up:     Impairment{Rate: 10000 * kbit, Delay: 65 * ms, Jitter: 10 * ms, Loss: 0.002},
			Down:   Impairment{Rate: 50000 * kbit, Delay: 50 * ms, Jitter: 5 * ms, Loss: 0.002},
			Source: conditioner + "LTE (50/10 Mbit/s, 50/65 ms); loss and jitter as Loadero's 4G (0.2 %, 5/15 ms), rounded"},
		{Name: "train", About: "LTE on a fast train: runs of loss at each handover",
			Up:   Impairment{Rate: 2000 * kbit, Delay: 75 * ms, Jitter: 40 * ms, Loss: 0.02, Burst: 12},
			Down: Impairment{Rate: 8000 * kbit, Delay: 75 * ms, Jitter: 40 * ms, Loss: 0.02, Burst: 12},
			Source: "in kind: Wang et al., An Active-Passive Measurement Study of TCP Performance over LTE on High-speed Rails (2018): " +
				"more loss, in runs at handovers, and much varying RTT; the figures are ours"},
		{Name: "hotel-wifi", About: "a full access point behind a thin uplink",
			Up:   Impairment{Rate: 512 * kbit, Delay: 60 * ms, Jitter: 50 * ms, Loss: 0.03, Burst: 3},
			Down: Impairment{Rate: 1000 * kbit, Delay: 60 * ms, Jitter: 50 * ms, Loss: 0.03, Burst: 3},
			Source: "rate: P. Bogard, Hotel Internet Quality (log of 2010-2012: hardly above 1 Mbit/s); " +
				"delay, jitter and loss are ours, below " + conditioner + "Very Bad Network (500 ms, 10 %)"},
		{Name: "transatlantic", About: "New York to London on a backbone",
			Up:     Impairment{Delay: 45 * ms, Jitter: ms, Loss: 0.001},
			Down:   Impairment{Delay: 45 * ms, Jitter: ms, Loss: 0.001},
			Source: "Verizon's transatlantic service level: 90 ms round trip on the monthly average; loss and jitter are ours"},
		{Name: "satellite", About: "a geostationary satellite",
			Up:     Impairment{Rate: 1000 * kbit, Delay: 280 * ms, Jitter: 10 * ms, Loss: 0.005},
			Down:   Impairment{Rate: 10000 * kbit, Delay: 280 * ms, Jitter: 10 * ms, Loss: 0.005},
			Source: "RFC 2488 §2, Satellite Characteristics: 279 ms per hop at the edge of the view, 558 ms round trip; rate, loss and jitter are ours"},
	}
}

// LookupModel finds a model; the error lists the names.
func LookupModel(name string) (Model, error) {
	var names []string
	for _, m := range Models() {
		if m.Name == name {
			return m, nil
		}
		names = append(names, m.Name)
	}
	return Model{}, fmt.Errorf("no link model %q; there are %s", name, strings.Join(names, ", "))
}
