// Command cunzheng-verify checks an evidence bundle offline. It needs no server, no network and no installation, and
// links nothing but the verification kernel.
//
//	cunzheng-verify --trust trust.json bundle.zip
//
// It exits with 0 if the bundle passed, 1 if it failed, 2 if what is at hand does not suffice, and 3 if it was called
// wrongly or a file could not be read.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"cunzheng/evidence"
)

// version is set by the linker.
var version = "dev"

// Exit codes. Programs and scripts rely on them.
const (
	exitPassed        = 0
	exitFailed        = 1
	exitIndeterminate = 2
	exitUsage         = 3
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv, time.Now))
}

func run(args []string, stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string, now func() time.Time) int {
	o, err := parseOptions(args, getenv, now)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return exitPassed
	case err != nil:
		fmt.Fprintf(stderr, "%v\n\n%s", err, usage)
		return exitUsage
	case o.version:
		fmt.Fprintf(stdout, "cunzheng-verify %s\n", version)
		return exitPassed
	}
	report, err := o.verify(stdin)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitUsage
	}
	if err := o.print(stdout, report); err != nil {
		fmt.Fprintln(stderr, err)
		return exitUsage
	}
	switch report.Verdict {
	case evidence.Passed:
		return exitPassed
	case evidence.Failed:
		return exitFailed
	}
	return exitIndeterminate
}

// verify opens the files and asks the kernel.
func (o *options) verify(stdin io.Reader) (*evidence.Report, error) {
	in := evidence.Input{At: o.at}
	bundle, err := os.Open(o.bundle)
	if err != nil {
		return nil, o.unreadable("存证包", "the bundle", err)
	}
	defer bundle.Close()
	info, err := bundle.Stat()
	if err != nil {
		return nil, o.unreadable("存证包", "the bundle", err)
	}
	if !info.Mode().IsRegular() {
		return nil, o.unreadable("存证包", "the bundle", fmt.Errorf("%s is not a regular file", o.bundle))
	}
	in.Bundle, in.Size = bundle, info.Size()

	if o.trust != "" {
		text, err := readTrust(o.trust)
		if err != nil {
			return nil, o.unreadable("信任文件", "the trust file", err)
		}
		if in.Trust, err = evidence.ParseTrust(text); err != nil {
			return nil, o.unreadable("信任文件", "the trust file", err)
		}
	}
	switch o.content {
	case "":
	case "-":
		in.Content = stdin
	default:
		original, err := os.Open(o.content)
		if err != nil {
			return nil, o.unreadable("原文", "the original", err)
		}
		defer original.Close()
		in.Content = original
	}
	report, err := evidence.Verify(in)
	if err != nil {
		return nil, o.unreadable("文件", "a file", err)
	}
	return report, nil
}

// readTrust reads a trust file, but no more than the kernel will take.
func readTrust(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	const tooMuch = 2 << 20
	return io.ReadAll(io.LimitReader(f, tooMuch))
}

func (o *options) unreadable(zh, en string, err error) error {
	return fmt.Errorf("%s: %w", o.say("无法读取"+zh, "cannot read "+en), err)
}

func (o *options) say(zh, en string) string {
	if o.language == evidence.English {
		return en
	}
	return zh
}

func (o *options) print(w io.Writer, report *evidence.Report) error {
	if o.json {
		text, err := report.Encode()
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s\n", text)
		return err
	}
	var b strings.Builder
	b.WriteString(report.Text(o.language))
	if o.trust == "" {
		b.WriteString("\n" + o.say(trustHintZH, trustHintEN) + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

const (
	trustHintZH = `如何取得信任文件：向存证机构索取 trust.json（由 cunzheng trust export -o trust.json 导出），
通过电话、公告等其他渠道核对其中的密钥指纹，然后运行：cunzheng-verify --trust trust.json 存证包
包内的 trust.json 不能作为信任依据：伪造者也能写一份。`
	trustHintEN = `How to get a trust file: ask the office for trust.json (made with cunzheng trust export -o trust.json), compare the
fingerprints in it on another channel such as the telephone, and run: cunzheng-verify --trust trust.json BUNDLE
The trust.json inside the bundle cannot be relied on: a forger can write one too.`
)
