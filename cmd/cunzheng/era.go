package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"cunzheng/ledger"
	"cunzheng/ledger/anchor"
	"cunzheng/ledger/blockproof"
)

// erasFile says on which ledgers the node's log has been anchored. Without it there was only the embedded one.
const erasFile = "ledgers.json"

// era is the time in which the log was anchored on one ledger.
type era struct {
	Kind  string `json:"kind"`
	Name  string `json:"name"`
	Since uint64 `json:"since"` // the greatest size that was anchored when the era began
}

// currentEra returns the era of the ledger that about describes, and begins it if the node was on another ledger before.
func currentEra(dir, embedded string, about anchor.Description, log *ledger.Log) (era, error) {
	path := filepath.Join(dir, erasFile)
	eras, err := readEras(path)
	if errors.Is(err, fs.ErrNotExist) {
		eras, err = firstEras(dir, embedded)
	}
	if err != nil {
		return era{}, err
	}
	if last := len(eras) - 1; last >= 0 && eras[last].Kind == about.Kind && eras[last].Name == about.Name {
		return eras[last], nil
	}
	since, _, err := log.LatestAnchor()
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return era{}, err
	}
	next := era{Kind: about.Kind, Name: about.Name, Since: since}
	return next, writeEras(path, append(eras, next))
}

// firstEras says what ledger a node was on that has no file of eras: its own chain, if it has one.
func firstEras(dir, embedded string) ([]era, error) {
	_, err := os.Stat(filepath.Join(dir, chainDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return []era{{Kind: blockproof.KindEmbedded, Name: embedded}}, err
}

// onceOn reports whether the log was anchored on the ledger of this name.
func onceOn(eras []era, name string) bool {
	return slices.ContainsFunc(eras, func(e era) bool { return e.Name == name })
}

func readEras(path string) ([]era, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var eras []era
	if err := json.Unmarshal(text, &eras, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return eras, nil
}

func writeEras(path string, eras []era) error {
	text, err := json.Marshal(eras, jsontext.WithIndent("  "))
	if err != nil {
		return err
	}
	return replaceFile(path, append(text, '\n'))
}

// eraLog is the log as the worker of one ledger sees it: the proofs of an earlier ledger are none.
type eraLog struct {
	*ledger.Log
	kind string
}

func (l eraLog) LatestAnchor() (size uint64, proof []byte, err error) {
	size, proof, err = l.Log.LatestAnchor()
	if err == nil && !madeBy(l.kind, proof) {
		return 0, nil, fmt.Errorf("%w: the last proof is of another ledger", ledger.ErrNotFound)
	}
	return size, proof, err
}

// madeBy reports whether a ledger of this kind made the proof. Every proof is canonical JSON that names its kind.
func madeBy(kind string, proof []byte) bool {
	var p struct {
		Kind string `json:"kind"`
	}
	return json.UnmarshalDecode(jsontext.NewDecoder(bytes.NewReader(proof)), &p) == nil && p.Kind == kind
}

// replaceFile writes a file so that after a crash the old content is there or the new.
func replaceFile(path string, data []byte) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.new") // 0600
	if err != nil {
		return err
	}
	_, err = temporary.Write(data)
	if err == nil {
		err = temporary.Sync()
	}
	if err = errors.Join(err, temporary.Close()); err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	return syncFolder(filepath.Dir(path))
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
