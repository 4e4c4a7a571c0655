package report

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestThePageInABrowser opens the golden page and those of odd runs in headless Chromium, at three widths, light and dark: axe finds
// nothing, the console stays empty, nothing outside the file is asked for, nothing is wider than the window.
// `make a11y` fetches what it takes (axe-core and playwright-core) into a folder of its own and names it in
// TLSURGE_AXE.
func TestThePageInABrowser(t *testing.T) {
	absent := t.Skipf
	if slices.Contains(strings.Split(os.Getenv("TLSURGE_REQUIRE"), ","), "axe") {
		absent = t.Fatalf
	}
	dir := os.Getenv("TLSURGE_AXE")
	if dir == "" {
		absent("TLSURGE_AXE names no folder with axe-core and playwright-core: make a11y")
	}
	for _, program := range []string{"node", "chromium"} {
		if _, err := exec.LookPath(program); err != nil {
			absent("no %s here", program)
		}
	}
	pages, err := filepath.Glob("testdata/*.html")
	if err != nil || len(pages) == 0 {
		t.Fatal(pages, err)
	}
	for name, run := range oddRuns(t) {
		page := filepath.Join(t.TempDir(), name+".html")
		if err := os.WriteFile(page, htmlOf(t, run), 0o600); err != nil {
			t.Fatal(err)
		}
		pages = append(pages, page)
	}
	for _, page := range pages {
		cmd := exec.Command("node", "testdata/look.js", page)
		cmd.Env = append(os.Environ(), "NODE_PATH="+filepath.Join(dir, "node_modules"))
		out, err := cmd.CombinedOutput()
		t.Logf("%s\n%s", page, out)
		if err != nil {
			t.Errorf("%s: %v", page, err)
		}
	}
}
