/** A small server for a sandbox, in Python's own library: pages, a cookie, a WebSocket. */
export const APP = String.raw`
import base64, hashlib, http.server, struct, sys

PAGE = """<!doctype html><meta charset=utf-8><title>Served</title>
<link rel=stylesheet href=/style.css><h1>Served</h1>
<p data-testid=script></p><p data-testid=cookie></p><p data-testid=seen></p>
<p data-testid=script-cookies></p><p data-testid=posted></p><p data-testid=socket></p>
<script type=module src=/app.js></script>"""

SCRIPT = """
const show = (name, text) => { document.querySelector('[data-testid=' + name + ']').textContent = text; };
show('script', 'ran');
show('script-cookies', document.cookie);
fetch('/cookie').then((answer) => answer.text()).then((text) => {
  show('seen', text);
  show('cookie', text.split('; ').find((pair) => pair.startsWith('mine=')) ?? 'none');
});
fetch('/post', { method: 'POST', body: 'ping' }).then((answer) => answer.text())
  .then((text) => show('posted', text));
const socket = new WebSocket(location.origin.replace('http', 'ws') + '/socket');
socket.onopen = () => socket.send('ping');
socket.onmessage = ({ data }) => show('socket', 'socket says ' + data);
socket.onclose = ({ code }) => show('socket', 'closed ' + code);
"""

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def answer(self, kind, text):
        body = text.encode()
        self.send_response(200)
        self.send_header('Content-Type', kind)
        self.send_header('Content-Length', str(len(body)))
        self.send_header('Set-Cookie', 'mine=1; HttpOnly; Domain=localhost; Path=/')
        self.end_headers()
        self.wfile.write(body)

    def own(self):
        # As servers do that are careful about where requests come from.
        return self.headers.get('Origin') in (None, 'http://' + self.headers['Host'])

    def do_GET(self):
        if self.path == '/socket':
            return self.socket()
        if self.path == '/style.css':
            return self.answer('text/css', 'h1 { color: rgb(1, 2, 3) }')
        if self.path == '/app.js':
            return self.answer('text/javascript', SCRIPT)
        if self.path == '/cookie':
            return self.answer('text/plain', self.headers.get('Cookie', 'none'))
        self.answer('text/html', PAGE)

    def do_POST(self):
        sent = self.rfile.read(int(self.headers['Content-Length'])).decode()
        self.answer('text/plain', 'posted ' + sent if self.own() else 'foreign')

    def socket(self):
        if not self.own():
            return self.send_error(403)
        key = self.headers['Sec-WebSocket-Key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        self.send_response(101)
        self.send_header('Upgrade', 'websocket')
        self.send_header('Connection', 'Upgrade')
        self.send_header('Sec-WebSocket-Accept', accept)
        self.end_headers()
        while True:
            head = self.rfile.read(2)
            if len(head) < 2 or head[0] & 15 == 8:
                break
            mask = self.rfile.read(4)
            sent = bytes(byte ^ mask[at % 4] for at, byte in enumerate(self.rfile.read(head[1] & 127)))
            if head[0] & 15 == 1:
                said = sent.decode().upper().encode()
                self.wfile.write(struct.pack('BB', 0x81, len(said)) + said)
        self.close_connection = True

http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()
`;
