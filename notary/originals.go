package notary

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"cunzheng/evidence"
	"cunzheng/notary/vault"
)

// CheckOriginals compares the store of originals with the log: each original that the platform keeps is there, opens
// to its last byte, and has the digests of its statement; and there is none that the log does not know. Each problem is
// reported under the number it concerns. An upload that a crash interrupted is no problem; the next start settles it.
//
// It reads every original, so it takes as long as that takes, in constant memory.
func CheckOriginals(ctx context.Context, log Log, store *vault.Vault, report func(number string, problem error)) error {
	for index := range log.Latest().Size {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		_, statement, err := entryOf(log, index)
		if err != nil {
			return err
		}
		if statement.OriginalKept != evidence.KeptByPlatform {
			continue
		}
		if err := checkOriginal(ctx, store, statement); isProblem(err) {
			report(statement.Number, err)
		} else if err != nil {
			return fmt.Errorf("%s: %w", statement.Number, err)
		}
	}
	pending := store.Pending()
	return store.List(ctx, func(id string) error {
		f, there, err := lookUp(log, id)
		if err != nil {
			return err
		}
		if !(there && f.statement.OriginalKept == evidence.KeptByPlatform) && !slices.Contains(pending, id) {
			report(id, errors.New("there is an original, and no statement about it in the log"))
		}
		return nil
	})
}

// isProblem tells what is wrong with one original from what is wrong with the store.
func isProblem(err error) bool {
	return errors.Is(err, vault.ErrNotFound) || errors.Is(err, vault.ErrCorrupt) || errors.Is(err, evidence.ErrContent)
}

func checkOriginal(ctx context.Context, store *vault.Vault, statement *evidence.Statement) (err error) {
	r, err := store.Open(ctx, statement.Number)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	found, err := vault.Digest(ctx, r, 0)
	if source, ok := errors.AsType[*vault.SourceError](err); ok {
		return source.Err
	}
	if err != nil {
		return err
	}
	if !sameBytes(statement.Content, found) || !sameBytes(statement.Content, &r.Object) || found.CRC32 != r.Object.CRC32 {
		return fmt.Errorf("%w: the original has another digest or size", evidence.ErrContent)
	}
	return nil
}

// sameBytes reports whether a file's statement speaks of these bytes.
func sameBytes(c *evidence.Content, o *vault.Object) bool {
	return c.SM3 == evidence.Digest(o.SM3) && c.SHA256 == evidence.Digest(o.SHA256) && c.Size != nil && *c.Size == o.Size
}
