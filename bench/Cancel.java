import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.sql.DriverManager;
import java.sql.Statement;

/** Runs the statement of each line of stdin, and cancels it at the line after. */
public class Cancel {
    public static void main(String[] args) throws Exception {
        var lines = new BufferedReader(new InputStreamReader(System.in));
        try (var con = DriverManager.getConnection(args[0] + "?useEncryption=false")) {
            for (String sql; (sql = lines.readLine()) != null;) {
                String text = sql;
                Statement st = con.createStatement();
                var reader = new Thread(() -> {
                    try (var rows = st.executeQuery(text)) {
                        while (rows.next()) {
                        }
                    } catch (Exception e) {
                        // of the cancel
                    }
                });
                reader.start();
                lines.readLine();
                try {
                    st.cancel();
                    reader.join();
                    st.close();
                } catch (Exception e) {
                    // the driver frees vectors that the reader reads
                }
            }
        }
    }
}
