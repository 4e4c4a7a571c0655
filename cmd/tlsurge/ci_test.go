package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v2"
)

// TestWorkflowsWouldRun holds docs/ci to what can be checked without their hosts: they are YAML, each step is one
// that its host knows, its commands are shell, and every tlsurge in them has arguments that this program takes.
func TestWorkflowsWouldRun(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../docs/ci/*.yml")
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var doc map[string]any
		if err := yaml.UnmarshalStrict(text, &doc); err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		var scripts []string
		if strings.Contains(file, "github") {
			scripts = githubScripts(t, doc)
		} else {
			scripts = gitlabScripts(t, doc)
		}
		commands := 0
		for _, s := range scripts {
			checkShell(t, s)
			for _, args := range tlsurgeIn(s) {
				commands++
				var out, said bytes.Buffer
				if code := run(append(args, "--help"), nil, &out, &said); code != exitGood {
					t.Errorf("%s: tlsurge %s: %s", file, strings.Join(args, " "), said.String())
				}
				for i, a := range args {
					if a == "--format" && !strings.Contains(strings.Join(formats, " "), args[i+1]) {
						t.Errorf("%s: no report has the format %s", file, args[i+1])
					}
				}
			}
		}
		for _, path := range artifacts(doc) {
			if !written(path, scripts) {
				t.Errorf("%s: nothing writes the artifact %s", file, path)
			}
		}
		if commands < 4 {
			t.Errorf("%s: %d commands of tlsurge found", file, commands)
		}
	}
}

// githubScripts lists what the steps run, and holds steps to their own keys.
func githubScripts(t *testing.T, doc map[string]any) (scripts []string) {
	t.Helper()
	action := regexp.MustCompile(`^[\w.-]+/[\w.-]+@v\d+$`)
	for name, j := range doc["jobs"].(map[any]any) {
		job := j.(map[any]any)
		if job["runs-on"] == nil || job["timeout-minutes"] == nil {
			t.Errorf("job %v says neither where nor how long", name)
		}
		for _, s := range job["steps"].([]any) {
			step := s.(map[any]any)
			for key := range step {
				if !strings.Contains(" name id if uses with run env shell working-directory continue-on-error timeout-minutes ", " "+key.(string)+" ") {
					t.Errorf("job %v: a step has no key %v", name, key)
				}
			}
			uses, isAction := step["uses"].(string)
			script, isScript := step["run"].(string)
			if isAction == isScript || isAction && !action.MatchString(uses) {
				t.Errorf("job %v: a step is an action with a version or a script: %v", name, step)
			}
			scripts = append(scripts, script)
		}
	}
	return scripts
}

func gitlabScripts(t *testing.T, doc map[string]any) (scripts []string) {
	t.Helper()
	for name, j := range doc {
		job := j.(map[any]any)
		if job["image"] == nil || job["script"] == nil || job["timeout"] == nil {
			t.Errorf("job %s has no image, no script or no timeout", name)
		}
		for _, key := range []string{"script", "after_script"} {
			lines, _ := job[key].([]any)
			for _, l := range lines {
				scripts = append(scripts, l.(string))
			}
		}
	}
	return scripts
}

// artifacts lists the files that a workflow keeps: lists and lines of paths, without what is excluded.
func artifacts(doc any) (paths []string) {
	switch v := doc.(type) {
	case map[string]any:
		for _, inner := range v {
			paths = append(paths, artifacts(inner)...)
		}
	case map[any]any:
		for key, inner := range v {
			switch text, list := fmt.Sprint(inner), inner; {
			case key == "path" || key == "junit":
				paths = append(paths, strings.Fields(strings.ReplaceAll(text, "${{ runner.temp }}", "$RUNNER_TEMP"))...)
			case key == "paths":
				for _, p := range list.([]any) {
					paths = append(paths, p.(string))
				}
			default:
				paths = append(paths, artifacts(inner)...)
			}
		}
	case []any:
		for _, inner := range v {
			paths = append(paths, artifacts(inner)...)
		}
	}
	return slices.DeleteFunc(paths, func(p string) bool { return strings.HasPrefix(p, "!") })
}

// written tells whether a script has tlsurge write a path: with --out, or bench.json in a directory given with it.
func written(path string, scripts []string) bool {
	for _, s := range scripts {
		for _, args := range tlsurgeIn(s) {
			if i := slices.Index(args, "--out"); i > 0 && (args[i+1] == path || args[0] == "bench" && args[i+1] == strings.TrimSuffix(path, "/bench.json")) {
				return true
			}
		}
	}
	return false
}

// checkShell has bash read a script without running it; an expression of the host is a word to it.
func checkShell(t *testing.T, script string) {
	t.Helper()
	cmd := exec.Command("bash", "-n")
	cmd.Stdin = strings.NewReader(regexp.MustCompile(`\$\{\{.*?\}\}`).ReplaceAllString(script, "expression"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s\n%s", err, out, script)
	}
}

// tlsurgeIn lists the arguments of each tlsurge that a script starts, up to where the shell takes over.
func tlsurgeIn(script string) (all [][]string) {
	for line := range strings.Lines(script) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "bin/tlsurge ")
		if !ok {
			continue
		}
		rest, _, _ = strings.Cut(rest, " >")
		rest, _, _ = strings.Cut(rest, " ||")
		all = append(all, strings.Fields(strings.NewReplacer(`"`, "", "$SEED", "42").Replace(rest)))
	}
	return all
}
