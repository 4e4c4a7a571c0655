package compare_test

import (
	"fmt"

	"tlsurge/results/compare"
)

// Ten rounds a side, and a handshake that costs a tenth more: the judgement names it.
func ExampleJudge() {
	base := []float64{2.00, 2.03, 1.98, 2.01, 1.99, 2.02, 2.00, 1.97, 2.01, 2.00}
	slower := []float64{2.21, 2.18, 2.22, 2.20, 2.19, 2.24, 2.17, 2.20, 2.21, 2.23}
	r := compare.Judge([]compare.Metric{{Name: "cpu_per_full_handshake", Unit: "count", Base: base, New: slower}}, nil, compare.Options{})
	fmt.Println(r.Decision)
	fmt.Println(compare.Sentence(r))
	// Output:
	// regressed
	// REGRESSED: 1 worse by more than what matters; 1 of 1 metrics judged.
}
