// Requests of java.net.http, as `load call http` makes them: see main.go.
//
// Usage: java Http2Java.java HOST:PORT CA.pem SECONDS PARALLEL

import java.io.FileInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

class Http2Java {
    static final AtomicInteger calls = new AtomicInteger();
    static final List<String> failures = new ArrayList<>();

    public static void main(String[] words) throws Exception {
        URI where = URI.create("https://" + words[0] + "/");
        HttpClient client = HttpClient.newBuilder()
                .version(HttpClient.Version.HTTP_2).sslContext(trusting(words[1])).build();
        // Many first calls at once would make a connection each.
        call(client, where, 0);
        long end = System.nanoTime() + (long) (Double.parseDouble(words[2]) * 1e9);
        List<Thread> callers = new ArrayList<>();
        for (int caller = 0; caller < Integer.parseInt(words[3]); caller++) {
            int first = caller;
            Thread thread = new Thread(() -> {
                for (int number = first; System.nanoTime() < end; number++) {
                    calls.incrementAndGet();
                    try {
                        call(client, where, number);
                    } catch (Exception error) {
                        synchronized (failures) {
                            failures.add(String.valueOf(error));
                        }
                    }
                }
            });
            thread.start();
            callers.add(thread);
        }
        for (Thread caller : callers) {
            caller.join();
        }
        List<String> quoted = new ArrayList<>();
        for (String failure : failures.subList(0, Math.min(failures.size(), 20))) {
            quoted.add('"' + failure.replaceAll("[^ !#-\\[\\]-~]", "?") + '"');
        }
        System.out.printf("{\"calls\": %d, \"failed\": %d, \"failures\": %s}%n", calls.get(), failures.size(), quoted);
    }

    static void call(HttpClient client, URI where, int number) throws Exception {
        byte[] body = new byte[number % 50 == 49 ? 200_000 : 15 + number % 91];
        Arrays.fill(body, (byte) 'b');
        HttpRequest request = HttpRequest.newBuilder(where)
                .timeout(Duration.ofSeconds(20)).POST(BodyPublishers.ofByteArray(body)).build();
        HttpResponse<byte[]> answer = client.send(request, BodyHandlers.ofByteArray());
        if (answer.statusCode() != 200 || answer.version() != HttpClient.Version.HTTP_2
                || !Arrays.equals(answer.body(), body)) {
            throw new IllegalStateException("expected 200 over HTTP/2 and " + body.length + " bytes, found "
                    + answer.statusCode() + " over " + answer.version() + " and " + answer.body().length);
        }
    }

    static SSLContext trusting(String file) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (FileInputStream pem = new FileInputStream(file)) {
            int count = 0;
            for (var certificate : CertificateFactory.getInstance("X.509").generateCertificates(pem)) {
                store.setCertificateEntry("ca" + count++, certificate);
            }
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context;
    }
}
