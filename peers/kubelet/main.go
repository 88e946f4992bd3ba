// A kubelet's streaming side, from the library that kubelets use, with processes of this
// machine in place of containers. The node and its pods are objects that others write.
//
// kwok has the same, but forgets exit codes and never ends a command's input.
package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"time"

	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"
)

const (
	idle     = 4 * time.Hour
	creation = 30 * time.Second
)

type node struct {
	work, log, forwardTo string
}

// ExecInContainer runs a command in the folder that stands for every container's.
func (n *node) ExecInContainer(ctx context.Context, _, _, _ string, command []string, in io.Reader, out, errs io.WriteCloser, _ bool, _ <-chan remotecommand.TerminalSize, _ time.Duration) error {
	return run(exec.CommandContext(ctx, command[0], command[1:]...), n.work, in, out, errs)
}

// AttachContainer attaches to a program that greets, and then says again what it is told.
func (n *node) AttachContainer(ctx context.Context, _, _, _ string, in io.Reader, out, errs io.WriteCloser, _ bool, _ <-chan remotecommand.TerminalSize) error {
	return run(exec.CommandContext(ctx, "sh", "-c", "echo attached; exec cat"), n.work, in, out, errs)
}

func run(command *exec.Cmd, folder string, in io.Reader, out, errs io.Writer) error {
	command.Dir, command.Stdout, command.Stderr = folder, out, errs
	if in != nil {
		pipe, err := command.StdinPipe()
		if err != nil {
			return err
		}
		go func() { // not Stdin itself: the end of the command does not wait for that of its input
			_, _ = io.Copy(pipe, in)
			_ = pipe.Close()
		}()
	}
	err := command.Run()
	var exited *exec.ExitError
	if errors.As(err, &exited) {
		return utilexec.CodeExitError{Err: err, Code: exited.ExitCode()}
	}
	return err
}

// PortForward leads every port to the same place.
func (n *node) PortForward(ctx context.Context, _, _ string, _ int32, stream io.ReadWriteCloser) error {
	defer stream.Close()
	connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", n.forwardTo)
	if err != nil {
		return err
	}
	defer connection.Close()
	over := make(chan struct{}, 2)
	pump := func(to io.Writer, from io.Reader) {
		_, _ = io.Copy(to, from)
		over <- struct{}{}
	}
	go pump(connection, stream)
	go pump(stream, connection)
	<-over
	return nil
}

func (n *node) exec(w http.ResponseWriter, r *http.Request) {
	options, err := remotecommand.NewOptions(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	protocols := remotecommand.SupportedStreamingProtocols
	remotecommand.ServeExec(w, r, n, r.PathValue("pod"), "", "", r.URL.Query()["command"], options, idle, creation, protocols)
}

func (n *node) attach(w http.ResponseWriter, r *http.Request) {
	options, err := remotecommand.NewOptions(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	remotecommand.ServeAttach(w, r, n, r.PathValue("pod"), "", "", options, idle, creation, remotecommand.SupportedStreamingProtocols)
}

func (n *node) portForward(w http.ResponseWriter, r *http.Request) {
	options, err := portforward.NewV4Options(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	portforward.ServePortForward(w, r, n, r.PathValue("pod"), "", options, idle, creation, portforward.SupportedProtocols)
}

// logs writes what the log holds, and what is added to it for as long as it is followed.
func (n *node) logs(w http.ResponseWriter, r *http.Request) {
	file, err := os.Open(n.log)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer file.Close()
	for {
		if _, err := io.Copy(w, file); err != nil || r.URL.Query().Get("follow") != "true" {
			return
		}
		w.(http.Flusher).Flush()
		select {
		case <-r.Context().Done():
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func main() {
	n := &node{}
	listen := flag.String("listen", "", "address to listen on")
	certificate := flag.String("certificate", "", "certificate file")
	key := flag.String("key", "", "key file")
	flag.StringVar(&n.work, "work", "", "folder that commands run in")
	flag.StringVar(&n.log, "log", "", "file that is every container's log")
	flag.StringVar(&n.forwardTo, "forward-to", "", "address that every port leads to")
	flag.Parse()

	routes := http.NewServeMux()
	routes.HandleFunc("/exec/{namespace}/{pod}/{container}", n.exec)
	routes.HandleFunc("/attach/{namespace}/{pod}/{container}", n.attach)
	routes.HandleFunc("/portForward/{namespace}/{pod}", n.portForward)
	routes.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", n.logs)
	server := &http.Server{Addr: *listen, Handler: routes}
	server.Protocols = new(http.Protocols)
	server.Protocols.SetHTTP1(true) // HTTP/2 has no upgrades
	log.Fatal(server.ListenAndServeTLS(*certificate, *key))
}
