package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"text/tabwriter"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"cunzheng/crypto/sm3"
	"cunzheng/evidence"
)

// printJSON writes v for programs: indented, one value.
func printJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// printFields writes label and value pairs in two columns, and leaves out the empty ones.
func printFields(w io.Writer, fields ...[2]string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range fields {
		if f[1] != "" {
			fmt.Fprintf(table, "%s\t%s\n", f[0], f[1])
		}
	}
	return table.Flush()
}

// newProgress is a progress bar in bytes on a terminal and nothing elsewhere, so that logs and pipes stay clean. A
// negative total is unknown.
func newProgress(w io.Writer, label string, total int64) *progressbar.ProgressBar {
	visible := false
	if file, ok := w.(*os.File); ok {
		visible = term.IsTerminal(int(file.Fd()))
	}
	return progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetVisibility(visible),
		progressbar.OptionSetDescription(label),
		progressbar.OptionShowBytes(true),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionClearOnFinish(),
	)
}

// printLine writes v as one line of JSON.
func printLine(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// digestOf is the SM3 that people compare.
func digestOf(text []byte) evidence.Digest { return sm3.Sum(text) }
