package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/mattn/go-runewidth"
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

// printFields writes label and value pairs in two columns, and leaves out the empty ones. Chinese characters are two
// columns wide.
func printFields(w io.Writer, fields ...[2]string) error {
	fields = slices.DeleteFunc(fields, func(f [2]string) bool { return f[1] == "" })
	width := 0
	for _, f := range fields {
		width = max(width, runewidth.StringWidth(f[0]))
	}
	for _, f := range fields {
		if _, err := fmt.Fprintf(w, "%s  %s\n", runewidth.FillRight(f[0], width), f[1]); err != nil {
			return err
		}
	}
	return nil
}

// chinaTime is a time as people in China read it.
func chinaTime(t evidence.Instant) string {
	if t.IsZero() {
		return ""
	}
	return t.Time().In(time.FixedZone("UTC+8", 8*60*60)).Format("2006-01-02 15:04:05.000 MST")
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
