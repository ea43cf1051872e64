package notary

import (
	"context"
	"errors"
	"fmt"

	"cunzheng/evidence"
	"cunzheng/notary/vault"
)

// CheckOriginals decrypts every original that the log says is kept, and calls report for each that is missing, cannot
// be authenticated, or is not what was deposited. It needs constant memory and returns an error only if it could not
// finish.
func CheckOriginals(ctx context.Context, log Log, originals *vault.Vault, report func(number string, problem error)) error {
	for index := range log.Latest().Size {
		if err := ctx.Err(); err != nil {
			return err
		}
		entry, err := log.Entry(index)
		if err != nil {
			return err
		}
		statement, err := evidence.ParseStatement(entry)
		if err != nil {
			return fmt.Errorf("entry %d: %w", index, err)
		}
		if statement.Type != evidence.TypeFile || statement.OriginalKept != evidence.KeptByPlatform {
			continue
		}
		if problem := checkOriginal(ctx, originals, statement); problem != nil {
			if err := ctx.Err(); err != nil {
				return err
			}
			report(statement.Number, problem)
		}
	}
	return nil
}

func checkOriginal(ctx context.Context, originals *vault.Vault, statement *evidence.Statement) (err error) {
	r, err := originals.Open(ctx, statement.Number)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	kept, err := vault.Digest(ctx, r, *statement.Content.Size)
	if errors.Is(err, vault.ErrTooLarge) {
		return fmt.Errorf("it is longer than the %d bytes deposited", *statement.Content.Size)
	}
	if err != nil {
		return err
	}
	if c := statement.Content; kept.Size != *c.Size || kept.SM3 != c.SM3 || kept.SHA256 != c.SHA256 {
		return fmt.Errorf("it has %d bytes with SM3 %x, deposited were %d bytes with SM3 %s", kept.Size, kept.SM3, *c.Size, c.SM3)
	}
	return nil
}
