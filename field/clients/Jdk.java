// java Jdk.java URL TASKS: the stock client of the JDK, which offers h2c with every request over plain HTTP.
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

public class Jdk {
    static final HttpClient client = HttpClient.newHttpClient();

    public static void main(String[] arguments) throws Exception {
        String tasks = arguments[0] + arguments[1];
        String events = arguments[0] + arguments[1].replace("/tasks", "/events?since=0");
        CompletableFuture<String> heard = client
            .sendAsync(HttpRequest.newBuilder(URI.create(events)).build(), BodyHandlers.ofLines())
            .thenApply(answer -> firstChange(answer.body()));

        HttpResponse<String> made = send("POST", tasks, "{\"title\": \"Buy milk\"}", 201);
        Matcher id = Pattern.compile("\"id\":\"([^\"]+)\"").matcher(made.body());
        if (!id.find()) throw new AssertionError(made.body());
        String task = tasks + "/" + id.group(1);
        expect(URI.create(tasks).resolve(made.headers().firstValue("location").get()).toString().equals(task), "Location");
        expect(heard.get(10, TimeUnit.SECONDS).contains(id.group(1)), "the event");

        for (int turn = 0; turn < 2; turn++) {
            expect(send("POST", task + "/toggle", "{\"completed\": true}", 200).body().contains("\"completed\":true"), "toggle with a body");
        }
        expect(send("POST", task + "/toggle", null, 200).body().contains("\"completed\":false"), "toggle");
        HttpResponse<String> changed = send("PATCH", task, "{\"title\": \"Buy bread\"}", 200);
        String etag = changed.headers().firstValue("etag").get();
        send("PUT", task, "{\"title\": \"Buy tea\"}", 200, "If-Match", etag);
        send("PUT", task, "{\"title\": \"lost\"}", 412, "If-Match", etag);
        // As long as 917 requests: what is in a body is never run.
        String smuggled = ("GET " + arguments[1] + " HTTP/1.1\r\nHost: a\r\n\r\n").repeat(2_000);
        send("POST", tasks, smuggled, 400);
        expect(send("GET", tasks, null, 200).body().contains("Buy tea"), "the list");
        send("DELETE", task, null, 204);
        send("GET", task, null, 404);
        System.exit(0); // the stream is still open
    }

    static String firstChange(Stream<String> lines) {
        return lines.filter(line -> line.startsWith("data:") && line.contains("\"title\"")).findFirst().get();
    }

    static HttpResponse<String> send(String method, String url, String body, int status, String... headers) throws Exception {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(url));
        request.method(method, body == null ? BodyPublishers.noBody() : BodyPublishers.ofString(body));
        if (body != null) request.header("Content-Type", "application/json");
        if (headers.length > 0) request.headers(headers);
        HttpResponse<String> answer = client.send(request.build(), BodyHandlers.ofString());
        expect(answer.statusCode() == status, method + " " + url + ": " + answer.statusCode() + " " + answer.body());
        return answer;
    }

    static void expect(boolean kept, String what) {
        if (!kept) throw new AssertionError(what);
    }
}
