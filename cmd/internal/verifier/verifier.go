// Package verifier is the command line that checks a bundle offline. It is the whole of cunzheng-verify and the verify
// command of cunzheng, so that both give the same answers.
package verifier

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

// Exit codes. Programs and scripts rely on them.
const (
	ExitPassed        = 0
	ExitFailed        = 1
	ExitIndeterminate = 2
	ExitUsage         = 3
)

// Command is the command line under the name its user typed.
type Command struct {
	Name    string
	Version string
	Getenv  func(string) string
	Now     func() time.Time // the time of the verdict unless --at says another
}

// Run executes one command line and returns its exit code.
func (c Command) Run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	o, err := c.parse(args)
	var p *problem
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, c.usage())
		return ExitPassed
	case errors.As(err, &p):
		fmt.Fprintf(stderr, "%s / %s\n\n%s", p.ZH, p.EN, c.usage())
		return fail(p, wantsJSON(args), stdout, stderr)
	case o.version:
		fmt.Fprintf(stdout, "%s %s\n", c.Name, c.Version)
		return ExitPassed
	}
	report, p := o.verify(stdin)
	if p != nil {
		fmt.Fprintln(stderr, o.say(p.ZH, p.EN))
		return fail(p, o.json, stdout, stderr)
	}
	if err := o.print(stdout, report); err != nil {
		fmt.Fprintln(stderr, o.say("无法输出报告：", "cannot write the report: ")+err.Error())
		return ExitUsage
	}
	switch report.Verdict {
	case evidence.Passed:
		return ExitPassed
	case evidence.Failed:
		return ExitFailed
	}
	return ExitIndeterminate
}

// fail ends a run without report, for which the user has been told the reason.
func fail(p *problem, asJSON bool, stdout, stderr io.Writer) int {
	if asJSON {
		if err := p.print(stdout); err != nil {
			fmt.Fprintln(stderr, err)
		}
	}
	return ExitUsage
}

// verify opens the files and asks the kernel.
func (o *options) verify(stdin io.Reader) (*evidence.Report, *problem) {
	in := evidence.Input{At: o.at}
	bundle, err := os.Open(o.bundle)
	if err != nil {
		return nil, unreadable(codeBundle, "存证包", "the bundle", err)
	}
	defer bundle.Close()
	info, err := bundle.Stat()
	if err != nil {
		return nil, unreadable(codeBundle, "存证包", "the bundle", err)
	}
	if !info.Mode().IsRegular() {
		return nil, unreadable(codeBundle, "存证包", "the bundle", fmt.Errorf("%s is not a regular file", o.bundle))
	}
	in.Bundle, in.Size = bundle, info.Size()

	if o.trust != "" {
		text, err := readTrust(o.trust)
		if err != nil {
			return nil, unreadable(codeTrust, "信任文件", "the trust file", err)
		}
		if in.Trust, err = evidence.ParseTrust(text); err != nil {
			return nil, unreadable(codeTrust, "信任文件", "the trust file", err)
		}
	}
	switch o.content {
	case "":
	case "-":
		in.Content = stdin
	default:
		original, err := os.Open(o.content)
		if err != nil {
			return nil, unreadable(codeContent, "原文", "the original", err)
		}
		defer original.Close()
		in.Content = original
	}
	report, err := evidence.Verify(in)
	if err != nil {
		return nil, unreadable(codeReading, "文件", "a file", err)
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
		fmt.Fprintf(&b, "\n"+o.say(trustHintZH, trustHintEN)+"\n", o.command)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

const (
	trustHintZH = `如何取得信任文件：向存证机构索取 trust.json（由 cunzheng trust export -o trust.json 导出），
通过电话、公告等其他渠道核对其中的密钥指纹，然后运行：%s --trust trust.json 存证包
包内的 trust.json 不能作为信任依据：伪造者也能写一份。`
	trustHintEN = `How to get a trust file: ask the office for trust.json (made with cunzheng trust export -o trust.json), compare the
fingerprints in it on another channel such as the telephone, and run: %s --trust trust.json BUNDLE
The trust.json inside the bundle cannot be relied on: a forger can write one too.`
)
