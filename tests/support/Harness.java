import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs Apache Kafka's tools one after another in one Java machine, for starting one takes longer than what most of
 * them do. A request is a line of words in base64: standard input, the main class, the arguments. The answer is a line:
 * standard output, standard error and the exit code.
 */
public class Harness {
    /** What a tool wrote; the streams under it change with every tool, for the logger keeps the one it saw first. */
    private static final class Current extends OutputStream {
        final ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        boolean muted;

        @Override public synchronized void write(int one) { if (!muted) bytes.write(one); }
        @Override public synchronized void write(byte[] all, int start, int length) {
            if (!muted) bytes.write(all, start, length);
        }
    }

    private static final Current out = new Current(), err = new Current();

    private static final class Exited extends RuntimeException { }

    public static void main(String[] ignored) throws Exception {
        PrintStream answers = System.out;
        System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
        BufferedReader requests = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = requests.readLine()) != null; ) {
            List<byte[]> parts = new ArrayList<>();
            for (String word : line.split(" ")) parts.add(Base64.getDecoder().decode(word.substring(1)));
            System.setIn(new ByteArrayInputStream(parts.get(0)));
            List<String> words = new ArrayList<>();
            for (byte[] part : parts.subList(1, parts.size())) words.add(new String(part, StandardCharsets.UTF_8));
            out.bytes.reset();
            err.bytes.reset();
            int code = run(words.get(0), words.subList(1, words.size()));
            System.out.flush();
            System.err.flush();
            answers.println("=" + encode(out) + " =" + encode(err) + " " + code);
            answers.flush();
        }
        // Clients that a tool left open must not hold the machine.
        Runtime.getRuntime().halt(0);
    }

    private static void mute(boolean muted) {
        System.out.flush();
        System.err.flush();
        out.muted = err.muted = muted;
    }

    private static String encode(Current stream) {
        return Base64.getEncoder().encodeToString(stream.bytes.toByteArray());
    }

    private static int run(String main, List<String> arguments) throws Exception {
        Integer[] code = {null};
        List<Runnable> hooks = new ArrayList<>();
        Exit.Procedure leave = (status, message) -> {
            if (code[0] == null) code[0] = status;
            mute(true); // a tool that has left says nothing more, although some catch what is thrown here
            throw new Exited();
        };
        Exit.setExitProcedure(leave);
        Exit.setHaltProcedure(leave);
        Exit.setShutdownHookAdder((name, hook) -> hooks.add(hook));
        try {
            Class.forName(main).getMethod("main", String[].class).invoke(null, (Object) arguments.toArray(new String[0]));
        } catch (InvocationTargetException thrown) {
            if (!(thrown.getCause() instanceof Exited) && code[0] == null) {
                System.err.print("Exception in thread \"main\" ");
                thrown.getCause().printStackTrace();
                code[0] = 1;
            }
        } finally {
            mute(false);
            for (Runnable hook : hooks) hook.run();
        }
        return code[0] == null ? 0 : code[0];
    }
}
