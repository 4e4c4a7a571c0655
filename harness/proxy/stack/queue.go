package stack

func level162(reason int) string  { return "info" }
func level1221(reason int) string { return "info" }
