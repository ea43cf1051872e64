package vault

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

const intentSuffix = ".intent"

// intents are empty files that name the objects which may not be in the log: written durably before the first byte of
// an object, removed once the log has it or the object is gone.
type intents struct {
	dir string

	mu    sync.Mutex
	stale []string // ids whose fate nobody in this process decides any more: for Recover
}

func openIntents(dir string) (*intents, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	in := &intents{dir: dir}
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), intentSuffix); ok && validID.MatchString(id) {
			in.stale = append(in.stale, id)
		}
	}
	return in, nil
}

func (in *intents) path(id string) string { return filepath.Join(in.dir, id+intentSuffix) }

// begin declares that an object with this id is about to be written.
func (in *intents) begin(id string) error {
	f, err := os.OpenFile(in.path(id), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: its upload has begun before", ErrExists)
	}
	if err != nil {
		return classify(fmt.Errorf("vault: intent: %w", err))
	}
	// The name is all there is to keep, so flushing the folder is enough.
	if err := errors.Join(f.Close(), syncDir(in.dir)); err != nil {
		return errors.Join(err, os.Remove(in.path(id)))
	}
	return nil
}

// end withdraws the declaration. If the removal gets lost in a crash, Recover repeats the decision: the log tells.
func (in *intents) end(id string) error {
	if err := os.Remove(in.path(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("vault: intent: %w", err)
	}
	return nil
}

// leave hands the decision about an object over to Recover.
func (in *intents) leave(id string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !slices.Contains(in.stale, id) {
		in.stale = append(in.stale, id)
	}
}

// settled says that Recover has decided about an object.
func (in *intents) settled(id string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.stale = slices.DeleteFunc(in.stale, func(s string) bool { return s == id })
}

func (in *intents) pending() []string {
	in.mu.Lock()
	defer in.mu.Unlock()
	return slices.Clone(in.stale)
}
